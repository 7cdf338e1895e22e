package sqlvalue_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
)

func row(cells ...string) []*string {
	out := make([]*string, len(cells))
	for i := range cells {
		if cells[i] != "NULL" {
			out[i] = &cells[i]
		}
	}
	return out
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	reason, _ := source.ReasonOf(err)
	return reason
}

func TestValue(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one, two := []string{"count"}, []string{"v", "sampled_at"}
	empty, nan := query.Gauge{Presence: query.Empty}, query.Gauge{Presence: query.NotANumber}
	for name, test := range map[string]struct {
		result sqlvalue.Result
		want   sqlvalue.Value
		reason string
	}{
		"an integer":         {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("7")}}, want: sqlvalue.Value{Gauge: query.NumberOf(7)}},
		"zero":               {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("0")}}, want: sqlvalue.Value{Gauge: query.NumberOf(0)}},
		"a decimal":          {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("-1.50e2")}}, want: sqlvalue.Value{Gauge: query.NumberOf(-150)}},
		"padded":             {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("7   ")}}, want: sqlvalue.Value{Gauge: query.NumberOf(7)}},
		"no row":             {result: sqlvalue.Result{Columns: one}, want: sqlvalue.Value{Gauge: empty}},
		"NULL":               {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("NULL")}}, want: sqlvalue.Value{Gauge: empty}},
		"NULL at no time":    {result: sqlvalue.Result{Columns: two, Rows: [][]*string{row("NULL", "NULL")}}, want: sqlvalue.Value{Gauge: empty}},
		"NaN":                {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("NaN")}}, want: sqlvalue.Value{Gauge: nan}},
		"infinity":           {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("-Infinity")}}, want: sqlvalue.Value{Gauge: nan}},
		"beyond all numbers": {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("1e999")}}, want: sqlvalue.Value{Gauge: nan}},
		"two rows":           {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("1"), row("2")}}, reason: sqlvalue.ReasonAmbiguous},
		"two columns":        {result: sqlvalue.Result{Columns: []string{"a", "b"}, Rows: [][]*string{row("1", "2")}}, reason: sqlvalue.ReasonAmbiguous},
		"three columns":      {result: sqlvalue.Result{Columns: []string{"a", "sampled_at", "b"}, Rows: [][]*string{row("1", "2", "3")}}, reason: sqlvalue.ReasonAmbiguous},
		"no column":          {result: sqlvalue.Result{}, reason: source.ReasonBadReply},
		"a short row":        {result: sqlvalue.Result{Columns: two, Rows: [][]*string{row("1")}}, reason: source.ReasonBadReply},
		"an empty row":       {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row()}}, reason: source.ReasonBadReply},
		"a text":             {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("many")}}, reason: source.ReasonBadReply},
		"an empty text":      {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("")}}, reason: source.ReasonBadReply},
		"a boolean":          {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("t")}}, reason: source.ReasonBadReply},
		"a time span":        {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("00:05:00")}}, reason: source.ReasonBadReply},
		"hexadecimal":        {result: sqlvalue.Result{Columns: one, Rows: [][]*string{row("0x10")}}, reason: source.ReasonBadReply},
		"with a time": {
			result: sqlvalue.Result{Columns: two, Rows: [][]*string{row("7", "2026-03-01 12:00:00+00")}},
			want:   sqlvalue.Value{Gauge: query.NumberOf(7), Measured: noon},
		},
		"with a time of another zone": {
			result: sqlvalue.Result{Columns: []string{"v", "SAMPLED_AT"}, Rows: [][]*string{row("7", "2026-03-01 17:30:00.25+05:30")}},
			want:   sqlvalue.Value{Gauge: query.NumberOf(7), Measured: noon.Add(250 * time.Millisecond)},
		},
		"with a time without a zone": {
			result: sqlvalue.Result{Columns: two, Rows: [][]*string{row("7", "2026-03-01 12:00:00.000001")}},
			want:   sqlvalue.Value{Gauge: query.NumberOf(7), Measured: noon.Add(time.Microsecond)},
		},
		"a value at no time":   {result: sqlvalue.Result{Columns: two, Rows: [][]*string{row("7", "NULL")}}, reason: source.ReasonBadReply},
		"a value at any time":  {result: sqlvalue.Result{Columns: two, Rows: [][]*string{row("7", "infinity")}}, reason: source.ReasonBadReply},
		"a value at some text": {result: sqlvalue.Result{Columns: two, Rows: [][]*string{row("7", "noon")}}, reason: source.ReasonBadReply},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.result.Value()
			if reasonOf(err) != test.reason {
				t.Fatalf("got error %v, want %q", err, test.reason)
			}
			if diff := cmp.Diff(test.want, got); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestText(t *testing.T) {
	r := sqlvalue.Result{Columns: []string{"v", "sampled_at"}, Rows: [][]*string{row("7", "NULL"), row("8", "x")}}
	if got, want := string(r.Text()), "v\tsampled_at\n7\tNULL\n8\tx\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReadingIsOfTheServersTime places values on this process's clock, with the
// server's clock an hour ahead.
func TestReadingIsOfTheServersTime(t *testing.T) {
	sent := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	received := sent.Add(20 * time.Millisecond)
	ahead := received.Add(time.Hour)
	for name, test := range map[string]struct {
		server, measured time.Time
		at               time.Time
		skew             time.Duration
	}{
		"the server's clock is right":          {server: sent.Add(5 * time.Millisecond), at: sent.Add(5 * time.Millisecond)},
		"measured a minute ago":                {server: sent.Add(5 * time.Millisecond), measured: sent.Add(5*time.Millisecond - time.Minute), at: sent.Add(5*time.Millisecond - time.Minute)},
		"the server's clock is ahead":          {server: ahead, at: received, skew: time.Hour},
		"ahead, and measured a minute ago":     {server: ahead, measured: ahead.Add(-time.Minute), at: received.Add(-time.Minute), skew: time.Hour},
		"a time that the server has not seen":  {server: sent, measured: sent.Add(time.Minute), at: sent, skew: time.Minute},
		"the server tells no time of its own":  {at: sent},
		"the server's clock is behind by ages": {server: sent.Add(-time.Hour), at: sent, skew: -time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sqlvalue.Asked{Sent: sent, Received: received, Server: test.server}.
				Reading(sqlvalue.Value{Gauge: query.NumberOf(1), Measured: test.measured})
			if err != nil {
				t.Fatal(err)
			}
			if !got.At.Equal(test.at) || got.Skew != test.skew {
				t.Errorf("measured at %s with skew %s, want %s and %s", got.At, got.Skew, test.at, test.skew)
			}
		})
	}
}

// TestTimesFarInTheFuture are refused: a value would look fresh until then.
func TestTimesFarInTheFuture(t *testing.T) {
	sent := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got, err := sqlvalue.Asked{Sent: sent, Received: sent, Server: sent}.
		Reading(sqlvalue.Value{Gauge: query.NumberOf(1), Measured: sent.Add(query.AheadAllowed + time.Second)})
	if reason, _ := source.ReasonOf(err); err == nil || reason != source.ReasonBadReply {
		t.Errorf("the reading is %+v with error %v", got, err)
	}
}

func TestCheckStatement(t *testing.T) {
	for statement, good := range map[string]bool{
		"SELECT 1": true, "select count(*) from t": true, "  (SELECT 1)": true, "VALUES (1)": true, "TABLE t": true,
		"-- how many\nSELECT 1": true, "/* how /* many */ SELECT 1": true, "WITH x AS (SELECT 1) SELECT * FROM x": true,
		"": false, "DROP TABLE x": false, "COPY t TO PROGRAM 'x'": false, "SET a = 1": false, "COMMIT": false,
		"/*! INSERT INTO t */ SELECT 1": false, "/*M! INSERT INTO t */ SELECT 1": false, "/* SELECT 1": false,
		"-- SELECT 1": false, "; SELECT 1": false, "EXPLAIN ANALYZE SELECT 1": false, "LISTEN x": false, "1": false,
	} {
		if err := sqlvalue.CheckStatement(statement); (err == nil) != good {
			t.Errorf("%q gives %v, good is %t", statement, err, good)
		} else if err != nil && reasonOf(err) != sqlvalue.ReasonNotReadOnly {
			t.Errorf("%q is refused with %s", statement, reasonOf(err))
		}
	}
}

func TestSeveral(t *testing.T) {
	for statement, want := range map[string]bool{
		"SELECT 1": false, "SELECT 1;": false, "SELECT 1; ;\n": false, "SELECT 1; DROP TABLE x": true,
	} {
		if got := sqlvalue.Several(statement); got != want {
			t.Errorf("%q: %t, want %t", statement, got, want)
		}
	}
}

// FuzzValue feeds any cell: it is refused with a reason, or is one of the
// presences, and only a finite number is a number.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"1", "NaN", "-1e400", "t", "", "1.5.2", "infinity", "2026-03-01 12:00:00+00"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, cell, at string) {
		got, err := sqlvalue.Result{Columns: []string{"v", "sampled_at"}, Rows: [][]*string{{&cell, &at}}}.Value()
		var ours *source.Error
		if err != nil {
			if !errors.As(err, &ours) || ours.Reason == "" || (len(cell) > 20 && strings.Contains(ours.Message, cell)) {
				t.Fatalf("a bad error: %v", err)
			}
			return
		}
		if got.Presence == query.Number && (math.IsNaN(got.Gauge.Value) || math.IsInf(got.Gauge.Value, 0)) {
			t.Fatalf("%q is taken for a number", cell)
		}
		if got.Presence == query.Absent || got.Presence == query.Empty || got.Measured.IsZero() && at != "0001-01-01 00:00:00" {
			t.Fatalf("%q at %q gives %+v", cell, at, got)
		}
	})
}

// FuzzCheckStatement feeds any text: what is taken begins with one of the words.
func FuzzCheckStatement(f *testing.F) {
	for _, seed := range []string{"SELECT 1", "/**/ -- \n(select", "/*!x*/", "--"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if sqlvalue.CheckStatement(text) != nil {
			return
		}
		upper := strings.ToUpper(text)
		for _, word := range []string{"SELECT", "WITH", "VALUES", "TABLE"} {
			if strings.Contains(upper, word) {
				return
			}
		}
		t.Fatalf("%q was taken", text)
	})
}
