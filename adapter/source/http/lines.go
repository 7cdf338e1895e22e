package httpsource

import (
	"errors"
	"strconv"
	"strings"
)

// label is one label of a series.
type label struct{ name, value string }

// series is a metric's name with labels, in the order in which they are written.
type series struct {
	name   string
	labels []label
}

// matches tells whether another series is of the name and has all the labels.
func (s series) matches(other series) bool {
	if s.name != other.name {
		return false
	}
	for _, want := range s.labels {
		if got, ok := other.label(want.name); !ok || got != want.value {
			return false
		}
	}
	return true
}

func (s series) label(name string) (string, bool) {
	for _, l := range s.labels {
		if l.name == name {
			return l.value, true
		}
	}
	return "", false
}

// The errors of a line. None of them holds a part of the line.
var (
	errName     = errors.New("no metric's name")
	errLabel    = errors.New("no label such as name=\"value\"")
	errTwice    = errors.New("a label that is there twice")
	errQuote    = errors.New("a quoted text without an end")
	errEscape   = errors.New("an escape other than \\\\, \\\" and \\n")
	errBrace    = errors.New("labels without an end")
	errValue    = errors.New("no number as its value")
	errTime     = errors.New("no number as its timestamp")
	errTrailing = errors.New("more than a series")
)

// parseSelector reads a series such as queue_depth{queue="orders"}.
func parseSelector(text string) (series, error) {
	r := &reader{text: text}
	s, err := r.series(nil)
	if err != nil {
		return series{}, err
	}
	if r.word() != "" {
		return series{}, errTrailing
	}
	return s, nil
}

// line is one sample of a document.
type line struct {
	series
	value float64
	// time is the timestamp as it is written, empty without one: its unit is the
	// document's.
	time string
}

// parseLine reads a sample. Labels are stored in the given slice. What follows a
// "#" after the value is an exemplar, which is another value.
func parseLine(text string, labels []label) (line, error) {
	r := &reader{text: text}
	s, err := r.series(labels[:0])
	if err != nil {
		return line{}, err
	}
	l := line{series: s}
	var ok bool
	if l.value, ok = parseNumber(r.word()); !ok {
		return line{}, errValue
	}
	if l.time = r.word(); l.time == "" || l.time == "#" {
		l.time = ""
		return l, nil
	}
	if _, ok := parseNumber(l.time); !ok {
		return line{}, errTime
	}
	if rest := r.word(); rest != "" && rest != "#" {
		return line{}, errTrailing
	}
	return l, nil
}

// parseNumber reads a decimal number, an infinity or NaN, as both formats write
// them. A number too large to hold is none.
func parseNumber(text string) (float64, bool) {
	if strings.ContainsAny(text, "xXpP_") {
		return 0, false // Go's own forms
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil
}

// reader goes through one line.
type reader struct {
	text string
	at   int
}

func (r *reader) ended() bool { return r.at >= len(r.text) }

// is tells whether the next character is c.
func (r *reader) is(c byte) bool { return !r.ended() && r.text[r.at] == c }

// take goes past c where it is the next character.
func (r *reader) take(c byte) bool {
	if r.is(c) {
		r.at++
		return true
	}
	return false
}

// skip goes past blanks.
func (r *reader) skip() {
	for r.is(' ') || r.is('\t') {
		r.at++
	}
}

// word gives what is before the next blank, or "".
func (r *reader) word() string {
	r.skip()
	from := r.at
	for !r.ended() && !r.is(' ') && !r.is('\t') {
		r.at++
	}
	return r.text[from:r.at]
}

// name gives a metric's or a label's name, or "".
func (r *reader) name(colons bool) string {
	from := r.at
	for ; !r.ended(); r.at++ {
		c := r.text[r.at]
		letter := c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (colons && c == ':')
		if !letter && (c < '0' || c > '9' || r.at == from) {
			break
		}
	}
	return r.text[from:r.at]
}

// series reads a name and labels. A name that is no plain one is quoted within
// the braces: {"queue.depth",queue="orders"}.
func (r *reader) series(labels []label) (series, error) {
	r.skip()
	s := series{name: r.name(true), labels: labels}
	r.skip()
	if r.take('{') {
		if err := r.braces(&s); err != nil {
			return series{}, err
		}
	}
	if s.name == "" {
		return series{}, errName
	}
	return s, nil
}

// braces reads labels up to the closing brace.
func (r *reader) braces(s *series) error {
	for {
		r.skip()
		switch {
		case r.take('}'):
			return nil
		case r.ended():
			return errBrace
		}
		if err := r.element(s); err != nil {
			return err
		}
		r.skip()
		if !r.take(',') && !r.is('}') {
			return errBrace
		}
	}
}

// element reads a label, or the quoted name of the metric.
func (r *reader) element(s *series) error {
	quoted := r.is('"')
	var name string
	var err error
	if quoted {
		name, err = r.quoted()
	} else {
		name = r.name(false)
	}
	switch {
	case err != nil:
		return err
	case name == "":
		return errLabel
	}
	r.skip()
	if !r.take('=') {
		if !quoted || s.name != "" {
			return errLabel
		}
		s.name = name
		return nil
	}
	r.skip()
	value, err := r.quoted()
	if err != nil {
		return err
	}
	if _, twice := s.label(name); twice {
		return errTwice
	}
	s.labels = append(s.labels, label{name, value})
	return nil
}

// quoted reads a text between quotes.
func (r *reader) quoted() (string, error) {
	if !r.take('"') {
		return "", errLabel
	}
	from := r.at
	for ; !r.ended(); r.at++ {
		switch r.text[r.at] {
		case '"':
			r.at++
			return unescape(r.text[from : r.at-1])
		case '\\':
			r.at++
		}
	}
	return "", errQuote
}

// unescape takes the escapes out of a text between quotes.
func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out.WriteByte(text[i])
			continue
		}
		i++ // quoted never ends a text behind a backslash
		switch text[i] {
		case '\\', '"':
			out.WriteByte(text[i])
		case 'n':
			out.WriteByte('\n')
		default:
			return "", errEscape
		}
	}
	return out.String(), nil
}
