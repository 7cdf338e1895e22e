package sqlvalue

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// Reasons that sources of SQL add to those of any source.
const (
	// ReasonAmbiguous: the reply holds more than one value.
	ReasonAmbiguous = "AmbiguousReply"
	// ReasonNotReadOnly: the statement would write, or there are several.
	ReasonNotReadOnly = "NotReadOnly"
	// ReasonNoDatabase: the server has no such database.
	ReasonNoDatabase = "DatabaseNotFound"
	// ReasonNoTable: the statement names a table that is not there.
	ReasonNoTable = "TableNotFound"
	// ReasonStatement: the server refused the statement, or failed running it.
	ReasonStatement = "StatementFailed"
)

// SampledAt is the name of the second column that a statement may give: the time
// at which the value was measured.
const SampledAt = "sampled_at"

// RowsNeeded is how many rows of a reply are looked at: the second only tells
// that there is more than one.
const RowsNeeded = 2

// Result is the beginning of a statement's reply.
type Result struct {
	// Columns are the names of the columns.
	Columns []string
	// Rows are the first rows, RowsNeeded at most, each as long as Columns. A cell
	// is the value as text, nil for NULL.
	Rows [][]*string
}

// Text is the result for people: a line of names, and one for each row.
func (r Result) Text() []byte {
	text := []byte(strings.Join(r.Columns, "\t") + "\n")
	for _, row := range r.Rows {
		for i, cell := range row {
			if i > 0 {
				text = append(text, '\t')
			}
			if cell == nil {
				text = append(text, "NULL"...)
			} else {
				text = append(text, *cell...)
			}
		}
		text = append(text, '\n')
	}
	return text
}

// Value is what a result gives.
type Value struct {
	query.Gauge
	// Measured is the time of column sampled_at on the server's clock, zero
	// without such a column or without a value.
	Measured time.Time
}

// Value reads the result. No row and NULL are Empty, NaN and infinities
// NotANumber; neither is an error. An error is a *source.Error that repeats
// nothing of the reply but names of types.
func (r Result) Value() (Value, error) {
	value, at, err := r.columns()
	switch {
	case err != nil:
		return Value{}, err
	case len(r.Rows) > 1:
		return Value{}, source.Errorf(ReasonAmbiguous, "the statement gives more than one row: give one, such as an aggregate")
	case len(r.Rows) == 1 && len(r.Rows[0]) != len(r.Columns):
		return Value{}, source.Errorf(source.ReasonBadReply, "the statement's row is not as long as it has columns")
	case len(r.Rows) == 0 || r.Rows[0][value] == nil:
		return Value{Gauge: query.Gauge{Presence: query.Empty}}, nil
	}
	gauge, err := ParseNumber(*r.Rows[0][value])
	if err != nil || at < 0 {
		return Value{Gauge: gauge}, err
	}
	if r.Rows[0][at] == nil {
		return Value{}, source.Errorf(source.ReasonBadReply, "the statement gives a value whose %s is NULL", SampledAt)
	}
	measured, err := ParseTime(*r.Rows[0][at])
	return Value{Gauge: gauge, Measured: measured}, err
}

// columns finds the value's column and that of its time, -1 where there is none.
func (r Result) columns() (value, at int, err error) {
	switch {
	case len(r.Columns) == 0:
		return 0, -1, source.Errorf(source.ReasonBadReply, "the statement gives no column")
	case len(r.Columns) == 1:
		return 0, -1, nil
	case len(r.Columns) == 2 && strings.EqualFold(r.Columns[1], SampledAt):
		return 0, 1, nil
	}
	return 0, -1, source.Errorf(ReasonAmbiguous,
		"the statement gives %d columns: give the value alone, or a second column named %s", len(r.Columns), SampledAt)
}

var decimal = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// ParseNumber reads a number as databases write them.
func ParseNumber(text string) (query.Gauge, error) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case "nan", "inf", "infinity":
		return query.NumberOf(math.NaN()), nil
	}
	if !decimal.MatchString(text) {
		return query.Gauge{}, source.Errorf(source.ReasonBadReply,
			"the statement's value is no number: of a time span give its seconds, of a condition 1 or 0")
	}
	// Out of range gives an infinity, which is no number.
	v, _ := strconv.ParseFloat(text, 64)
	return query.NumberOf(v), nil
}

// ParseTime reads a time of day and date as databases write them; without a zone
// it is UTC.
func ParseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{"2006-01-02 15:04:05Z07", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, source.Errorf(source.ReasonBadReply, "the statement's %s is no date and time", SampledAt)
}

// Asked is when a poll asked the server for its clock, on this process's clock,
// and what the server said.
type Asked struct{ Sent, Received, Server time.Time }

// Reading makes the reading of a value. Without a time of its own the value was
// measured when the server told its clock, at the earliest; with one, as long
// before as the server's clock says. A time that the server's own clock has not
// reached is a clock's fault: it is moved to that clock and told as skew. One far in
// the future is an error: the value would look fresh until then, however old it is.
func (a Asked) Reading(v Value) (query.Reading, error) {
	at, skew := query.SampleTime(a.Server, a.Sent, a.Received)
	if !v.Measured.IsZero() {
		switch age := a.Server.Sub(v.Measured); {
		case age < -query.AheadAllowed:
			return query.Reading{}, source.Errorf(source.ReasonBadReply, "the statement's %s is %s in the future", SampledAt, (-age).Round(time.Second))
		case age < 0:
			skew -= age
		default:
			at = at.Add(-age)
		}
	}
	return query.Reading{At: at, Skew: skew, Gauges: map[query.Kind]query.Gauge{query.Value: v.Gauge}}, nil
}
