package query

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
)

// ObjectValues are encoded as objects within objects, by metric, group, resource,
// namespace, name and labels, so that the ledger's merge patches hold the values
// that changed and not all of them. What is given twice is a list, in the order
// given.
type ObjectValues []ObjectValue

// branch holds what is below one name: branches, and in the end cells.
type branch map[string]any

// cell is what is told of one value. A bare number stands for a cell with nothing
// but a value.
type cell struct {
	Presence Presence `json:"p,omitempty"`
	Value    float64  `json:"v,omitempty"`
	At       Time     `json:"at,omitzero"`
	Window   int64    `json:"w,omitempty"`
}

// MarshalJSON encodes the tree.
func (o ObjectValues) MarshalJSON() ([]byte, error) {
	root := branch{}
	for _, v := range o {
		leaf := root
		for _, name := range []string{v.Metric, v.Group, v.Resource, v.Namespace, v.Name} {
			next, ok := leaf[name].(branch)
			if !ok {
				next = branch{}
				leaf[name] = next
			}
			leaf = next
		}
		key, err := labelsKey(v.Labels)
		if err != nil {
			return nil, err
		}
		switch before := leaf[key].(type) {
		case nil:
			leaf[key] = v.cell()
		case []any:
			leaf[key] = append(before, v.cell())
		default:
			leaf[key] = []any{before, v.cell()}
		}
	}
	return json.Marshal(root)
}

func labelsKey(labels map[string]string) (string, error) {
	if len(labels) == 0 {
		return "", nil
	}
	key, err := json.Marshal(labels)
	return string(key), err
}

func (v ObjectValue) cell() any {
	c := cell{Presence: v.Presence, Value: v.Value, At: v.At, Window: v.WindowSeconds}
	if math.IsNaN(c.Value) || math.IsInf(c.Value, 0) {
		// JSON has no form for it, and it is judged the same.
		c.Presence, c.Value = NotANumber, 0
	}
	if c == (cell{Presence: Number, Value: c.Value}) {
		return c.Value
	}
	return c
}

// UnmarshalJSON decodes the tree into values sorted as CompareObjects says.
func (o *ObjectValues) UnmarshalJSON(raw []byte) error {
	var root map[string]map[string]map[string]map[string]map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &root); err != nil {
		return err
	}
	var out ObjectValues
	for metric, groups := range root {
		for group, resources := range groups {
			for resource, namespaces := range resources {
				for namespace, names := range namespaces {
					for name, series := range names {
						of := ObjectValue{Metric: metric, Group: group, Resource: resource, Namespace: namespace, Name: name}
						if err := out.add(of, series); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	slices.SortStableFunc(out, CompareObjects)
	*o = out
	return nil
}

// add appends the series of one metric and object.
func (o *ObjectValues) add(of ObjectValue, series map[string]json.RawMessage) error {
	for _, key := range slices.Sorted(maps.Keys(series)) {
		v, raw := of, series[key]
		if key != "" {
			if err := json.Unmarshal([]byte(key), &v.Labels); err != nil {
				return fmt.Errorf("labels of %s: %w", v.object(), err)
			}
			if len(v.Labels) == 0 {
				v.Labels = nil
			}
		}
		cells := []json.RawMessage{raw}
		if len(raw) > 0 && raw[0] == '[' {
			if err := json.Unmarshal(raw, &cells); err != nil {
				return err
			}
		}
		for _, c := range cells {
			if err := v.fill(c); err != nil {
				return fmt.Errorf("value of %s: %w", v.object(), err)
			}
			*o = append(*o, v)
		}
	}
	return nil
}

// fill sets what a cell tells.
func (v *ObjectValue) fill(raw json.RawMessage) error {
	c := cell{Presence: Number}
	var err error
	if len(raw) > 0 && raw[0] == '{' {
		c = cell{}
		err = json.Unmarshal(raw, &c)
	} else {
		err = json.Unmarshal(raw, &c.Value)
	}
	v.Gauge = Gauge{Presence: c.Presence, Value: c.Value}
	v.At, v.WindowSeconds = c.At, c.Window
	return err
}
