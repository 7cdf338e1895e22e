package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// tree is a JSON value with its numbers kept as written, so that no integer
// passes through a float.
type tree = any

// toTree turns a value into the tree of its JSON.
func toTree(v any) (tree, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return parseTree(raw)
}

func parseTree(raw []byte) (tree, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var t tree
	if err := d.Decode(&t); err != nil {
		return nil, err
	}
	return t, nil
}

// fromTree decodes a tree into a typed value.
func fromTree(t tree, into any) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// diff gives the JSON merge patch (RFC 7396) that turns from into to. It reports
// false where a merge patch cannot say it: the patch uses null for "remove", so
// a null in a changed value has no form. Objects are compared field by field,
// arrays as a whole, which is why projections keep lists as maps by name.
func diff(from, to map[string]any) (map[string]any, bool) {
	patch := map[string]any{}
	for k := range from {
		if _, kept := to[k]; !kept {
			patch[k] = nil
		}
	}
	for k, want := range to {
		have, known := from[k]
		if known && equal(have, want) {
			continue
		}
		if known {
			a, aIsObject := have.(map[string]any)
			b, bIsObject := want.(map[string]any)
			if aIsObject && bIsObject {
				inner, ok := diff(a, b)
				if !ok {
					return nil, false
				}
				patch[k] = inner
				continue
			}
		}
		if holdsNull(want) {
			return nil, false
		}
		patch[k] = want
	}
	return patch, true
}

// merge applies a merge patch to a copy of base that shares what did not change.
func merge(base, patch map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for k, p := range patch {
		if p == nil {
			delete(out, k)
			continue
		}
		inner, isObject := p.(map[string]any)
		if have, ok := out[k].(map[string]any); ok && isObject {
			out[k] = merge(have, inner)
			continue
		}
		out[k] = p
	}
	return out
}

// holdsNull looks only where a merge patch cannot carry a null: inside objects.
// Within arrays, which are replaced whole, null stands for itself.
func holdsNull(t tree) bool {
	switch v := t.(type) {
	case nil:
		return true
	case map[string]any:
		for _, inner := range v {
			if holdsNull(inner) {
				return true
			}
		}
	}
	return false
}

func equal(a, b tree) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, equal)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	default:
		return a == b
	}
}

// change is one place where two trees differ.
type change struct {
	path     string
	from, to tree
}

// changes lists where two trees differ, in order of path.
func changes(path string, from, to tree) []change {
	switch a := from.(type) {
	case map[string]any:
		b, ok := to.(map[string]any)
		if !ok {
			break
		}
		names := map[string]bool{}
		for k := range a {
			names[k] = true
		}
		for k := range b {
			names[k] = true
		}
		var out []change
		for _, k := range slices.Sorted(maps.Keys(names)) {
			out = append(out, changes(path+"."+k, a[k], b[k])...)
		}
		return out
	case []any:
		b, ok := to.([]any)
		if !ok || len(a) != len(b) {
			break
		}
		var out []change
		for i := range a {
			out = append(out, changes(fmt.Sprintf("%s[%d]", path, i), a[i], b[i])...)
		}
		return out
	}
	if equal(from, to) {
		return nil
	}
	return []change{{path: path, from: from, to: to}}
}

func text(t tree) string {
	raw, err := json.Marshal(t)
	if err != nil {
		return fmt.Sprint(t)
	}
	return string(raw)
}
