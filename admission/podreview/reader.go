package podreview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// errSyntax is what is wrong with bytes that are no JSON.
var errSyntax = errors.New("no JSON")

// reader walks over JSON. After an error it stays where it is.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s at byte %d", errSyntax, what, r.at)
	}
}

func (r *reader) space() {
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// take passes over a byte where it is the next.
func (r *reader) take(c byte) bool {
	if r.at < len(r.data) && r.data[r.at] == c {
		r.at++
		return true
	}
	return false
}

// word passes over null, true or false where it is the next.
func (r *reader) word(w string) bool {
	if len(r.data)-r.at >= len(w) && string(r.data[r.at:r.at+len(w)]) == w {
		r.at += len(w)
		return true
	}
	return false
}

// object calls member with each key; a value that it leaves is passed over. null
// has no members; present is then false.
func (r *reader) object(member func(key []byte)) (present bool) {
	if r.err != nil || r.word("null") {
		return false
	}
	if !r.take('{') {
		r.fail("not an object")
		return false
	}
	r.list('}', func() {
		key := r.quoted()
		r.space()
		if !r.take(':') {
			r.fail("no colon")
			return
		}
		r.space()
		start := r.at
		if member(key); r.err == nil && r.at == start {
			r.skip()
		}
	})
	return r.err == nil
}

// array calls element at each value; one that it leaves is passed over. null has
// none.
func (r *reader) array(element func()) {
	if r.err != nil || r.word("null") {
		return
	}
	if !r.take('[') {
		r.fail("not an array")
		return
	}
	r.list(']', func() {
		start := r.at
		if element(); r.err == nil && r.at == start {
			r.skip()
		}
	})
}

// list reads what stands between commas, up to the end.
func (r *reader) list(end byte, next func()) {
	r.space()
	if r.take(end) {
		return
	}
	for r.err == nil {
		next()
		r.space()
		if r.err != nil || r.take(end) {
			return
		}
		if !r.take(',') {
			r.fail("neither a comma nor the end")
			return
		}
		r.space()
	}
}

// skip passes over a value of any form.
func (r *reader) skip() {
	depth := 0
	for r.at < len(r.data) && r.err == nil {
		switch r.data[r.at] {
		case '"':
			r.pass()
		case '{', '[':
			depth++
			r.at++
		case '}', ']':
			if depth--; depth < 0 {
				r.fail("an end without a beginning")
				return
			}
			r.at++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				r.fail("no value")
				return
			}
			r.at++
			continue
		default:
			r.token()
		}
		if depth == 0 {
			return
		}
	}
	r.fail("ends within a value")
}

// token passes over a number or a word.
func (r *reader) token() []byte {
	start := r.at
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ',', ':', '}', ']', '{', '[', '"', ' ', '\t', '\n', '\r':
			return r.data[start:r.at]
		}
		r.at++
	}
	return r.data[start:r.at]
}

// pass goes over a string, and tells whether it has escapes.
func (r *reader) pass() (escaped bool) {
	start := r.at + 1
	for end := start; ; {
		i := bytes.IndexByte(r.data[end:], '"')
		if i < 0 {
			r.fail("ends within a string")
			return false
		}
		end += i
		slashes := 0
		for end-slashes > start && r.data[end-slashes-1] == '\\' {
			slashes++
		}
		end++
		if slashes%2 == 0 {
			r.at = end
			return bytes.IndexByte(r.data[start:end-1], '\\') >= 0
		}
	}
}

// quoted reads a string. Where it has no escapes, these are bytes of the data.
func (r *reader) quoted() []byte {
	if r.err != nil {
		return nil
	}
	if r.at >= len(r.data) || r.data[r.at] != '"' {
		r.fail("not a string")
		return nil
	}
	start := r.at
	if !r.pass() {
		if r.err != nil {
			return nil
		}
		return r.data[start+1 : r.at-1]
	}
	var text string
	if err := json.Unmarshal(r.data[start:r.at], &text); err != nil {
		r.fail("a string with wrong escapes")
		return nil
	}
	return []byte(text)
}

// text reads a string; null is "".
func (r *reader) text() string {
	if r.err != nil || r.word("null") {
		return ""
	}
	return string(r.quoted())
}

// truth reads a boolean; null is false.
func (r *reader) truth() bool {
	switch {
	case r.err != nil || r.word("null") || r.word("false"):
		return false
	case r.word("true"):
		return true
	}
	r.fail("not a boolean")
	return false
}
