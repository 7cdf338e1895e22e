package httpsource

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// document makes a server's answer.
func document(contentType, body string) httpapi.Document {
	return httpapi.Document{Status: http.StatusOK, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body), Whole: true}
}

// read is what became of a document.
type read struct {
	gauge    query.Gauge
	measured time.Time
	reason   string
}

func extracted(e extractor, d httpapi.Document) read {
	s, err := e.extract("http://server", d)
	if err != nil {
		reason, _ := source.ReasonOf(err)
		return read{reason: reason}
	}
	return read{gauge: s.gauge, measured: s.measured}
}

var (
	empty = query.Gauge{Presence: query.Empty}
	nan   = query.Gauge{Presence: query.NotANumber}
)

func TestSeriesOfADocument(t *testing.T) {
	const plain, open = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0; charset=utf-8"
	const metrics = "# HELP queue_depth What waits.\n# TYPE queue_depth gauge\n" +
		"queue_depth{queue=\"orders\",shard=\"1\"} 5\nqueue_depth{queue=\"mails\",shard=\"1\"} 7 1700000000500\r\n\n" +
		"queue_depth{queue=\"mails\",shard=\"2\"} NaN\nother 1\n"
	for name, test := range map[string]struct {
		selector, contentType, body string
		want                        read
	}{
		"one label":             {`queue_depth{queue="orders"}`, plain, metrics, read{gauge: query.NumberOf(5)}},
		"no label":              {`other`, plain, metrics, read{gauge: query.NumberOf(1)}},
		"a time in ms":          {`queue_depth{shard="1",queue="mails"}`, plain, metrics, read{gauge: query.NumberOf(7), measured: time.UnixMilli(1700000000500).UTC()}},
		"not a number":          {`queue_depth{shard="2"}`, plain, metrics, read{gauge: nan}},
		"several":               {`queue_depth{queue="mails"}`, plain, metrics, read{reason: "AmbiguousReply"}},
		"none of the label":     {`queue_depth{queue="x"}`, plain, metrics, read{gauge: empty}},
		"none of the name":      {`queue`, plain, metrics, read{gauge: empty}},
		"without a type":        {`other`, "", metrics, read{gauge: query.NumberOf(1)}},
		"nothing at all":        {`other`, plain, "", read{gauge: empty}},
		"OpenMetrics":           {`a_total`, open, "# TYPE a counter\n# UNIT a seconds\na_total 3 1700000000.25 # {id=\"x\"} 1 2\na_created 9\n# EOF\n", read{gauge: query.NumberOf(3), measured: time.UnixMilli(1700000000250).UTC()}},
		"OpenMetrics cut":       {`a_total`, open, "a_total 3\n", read{reason: source.ReasonBadReply}},
		"more after the end":    {`a_total`, open, "a_total 3\n# EOF\na_total 4\n", read{reason: source.ReasonBadReply}},
		"infinity":              {`a`, plain, "a +Inf\n", read{gauge: nan}},
		"a bucket":              {`a_bucket{le="+Inf"}`, plain, "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 4\na_sum 9\na_count 4\n", read{gauge: query.NumberOf(4)}},
		"a page":                {`a`, "text/html", "<html>\n", read{reason: source.ReasonBadReply}},
		"JSON":                  {`a`, "application/json", `{"a":1}`, read{reason: source.ReasonBadReply}},
		"garbage after it":      {`a`, plain, "a 1\n\x00\xff\n", read{reason: source.ReasonBadReply}},
		"a time that is none":   {`a`, plain, "a 1 1.5\n", read{reason: source.ReasonBadReply}},
		"a time far away":       {`a`, plain, "a 1 9223372036854775807\n", read{reason: source.ReasonBadReply}},
		"a time before 1970":    {`a`, open, "a 1 -1\n# EOF", read{reason: source.ReasonBadReply}},
		"a time not a number":   {`a`, open, "a 1 NaN\n# EOF", read{reason: source.ReasonBadReply}},
		"the same series twice": {`a`, plain, "a 1\na 1\n", read{reason: "AmbiguousReply"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := newSeriesExtractor(test.selector)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, extracted(e, document(test.contentType, test.body)), cmp.AllowUnexported(read{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNumberOfAJSONDocument(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)
	for name, test := range map[string]struct {
		path, time, body string
		want             read
	}{
		"a member":            {"{.queue.depth}", "", `{"queue":{"depth":5}}`, read{gauge: query.NumberOf(5)}},
		"without braces":      {".queue.depth", "", `{"queue":{"depth":5.5}}`, read{gauge: query.NumberOf(5.5)}},
		"with a dollar":       {"$.queue.depth", "", `{"queue":{"depth":-5}}`, read{gauge: query.NumberOf(-5)}},
		"the whole":           {"{@}", "", `7`, read{gauge: query.NumberOf(7)}},
		"of an array":         {"{.queues[1].depth}", "", `{"queues":[{"depth":1},{"depth":2}]}`, read{gauge: query.NumberOf(2)}},
		"by a filter":         {`{.queues[?(@.name=="b")].depth}`, "", `{"queues":[{"name":"a","depth":1},{"name":"b","depth":2}]}`, read{gauge: query.NumberOf(2)}},
		"zero":                {"{.a}", "", `{"a":0}`, read{gauge: query.NumberOf(0)}},
		"a text":              {"{.a}", "", `{"a":" 1.5e3 "}`, read{gauge: query.NumberOf(1500)}},
		"NaN":                 {"{.a}", "", `{"a":"NaN"}`, read{gauge: nan}},
		"infinity":            {"{.a}", "", `{"a":"-Infinity"}`, read{gauge: nan}},
		"null":                {"{.a}", "", `{"a":null}`, read{gauge: empty}},
		"missing":             {"{.a.b}", "", `{"b":1}`, read{gauge: empty}},
		"below null":          {"{.a.b}", "", `{"a":null}`, read{gauge: empty}},
		"of nothing":          {"{.a}", "", `null`, read{gauge: empty}},
		"filtered away":       {`{.queues[?(@.name=="c")].depth}`, "", `{"queues":[{"name":"a","depth":1}]}`, read{gauge: empty}},
		"several":             {"{.queues[*].depth}", "", `{"queues":[{"depth":1},{"depth":2}]}`, read{reason: "AmbiguousReply"}},
		"a boolean":           {"{.a}", "", `{"a":true}`, read{reason: source.ReasonBadReply}},
		"an object":           {"{.a}", "", `{"a":{}}`, read{reason: source.ReasonBadReply}},
		"an array":            {"{.a}", "", `{"a":[1]}`, read{reason: source.ReasonBadReply}},
		"a word":              {"{.a}", "", `{"a":"many"}`, read{reason: source.ReasonBadReply}},
		"a quantity":          {"{.a}", "", `{"a":"1.5k"}`, read{reason: source.ReasonBadReply}},
		"Go's own number":     {"{.a}", "", `{"a":"0x10"}`, read{reason: source.ReasonBadReply}},
		"too large":           {"{.a}", "", `{"a":1e999}`, read{reason: source.ReasonBadReply}},
		"beyond an array":     {"{.a[3]}", "", `{"a":[1]}`, read{reason: source.ReasonBadReply}},
		"below a number":      {"{.a.b}", "", `{"a":1}`, read{gauge: empty}},
		"no JSON":             {"{.a}", "", `<html>`, read{reason: source.ReasonBadReply}},
		"nothing":             {"{.a}", "", ``, read{reason: source.ReasonBadReply}},
		"cut short":           {"{.a}", "", `{"a":1`, read{reason: source.ReasonBadReply}},
		"two documents":       {"{.a}", "", `{"a":1}{"a":2}`, read{reason: source.ReasonBadReply}},
		"a time":              {"{.a}", "{.t}", `{"a":1,"t":"2026-03-01T13:00:00.25+01:00"}`, read{gauge: query.NumberOf(1), measured: at}},
		"a time in seconds":   {"{.a}", "{.t}", `{"a":1,"t":1772366400.25}`, read{gauge: query.NumberOf(1), measured: at}},
		"a time in ms":        {"{.a}", ".t", `{"a":1,"t":1772366400250}`, read{gauge: query.NumberOf(1), measured: at}},
		"a time as a text":    {"{.a}", ".t", `{"a":1,"t":"1772366400.25"}`, read{gauge: query.NumberOf(1), measured: at}},
		"no time":             {"{.a}", ".t", `{"a":1}`, read{reason: source.ReasonBadReply}},
		"no time and empty":   {"{.a}", ".t", `{}`, read{gauge: empty}},
		"a time never set":    {"{.a}", ".t", `{"a":1,"t":"0001-01-01T00:00:00Z"}`, read{reason: source.ReasonBadReply}},
		"a time that is none": {"{.a}", ".t", `{"a":1,"t":"noon"}`, read{reason: source.ReasonBadReply}},
		"a time in ns":        {"{.a}", ".t", `{"a":1,"t":1772366400250000000}`, read{reason: source.ReasonBadReply}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := newJSONExtractor(test.path, test.time)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, extracted(e, document("application/json", test.body)), cmp.AllowUnexported(read{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPathsThatAreNone(t *testing.T) {
	for _, path := range []string{"{.a", "{.a} jobs", "{.a[}", "a b {", "{"} {
		if _, err := newJSONExtractor(path, ""); err == nil {
			t.Errorf("%q is taken for a path", path)
		}
		if _, err := newJSONExtractor("{.a}", path); err == nil {
			t.Errorf("%q is taken for a path of a time", path)
		}
	}
}

func TestPlace(t *testing.T) {
	sent := time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	received := sent.Add(100 * time.Millisecond)
	// What is measured is given in relation to when the request was sent, and what
	// the server's clock says as its distance from then.
	const none = -1000 * time.Hour
	for name, test := range map[string]struct{ measured, date, at, skew time.Duration }{
		"no time":                     {none, -time.Hour, 0, 0},
		"in between":                  {time.Millisecond, 0, time.Millisecond, 0},
		"long ago":                    {-time.Hour, 0, -time.Hour, 0},
		"long ago, the clock unknown": {-time.Hour, none, -time.Hour, 0},
		"to come":                     {time.Minute, 0, 100 * time.Millisecond, time.Minute - 100*time.Millisecond},
		"a clock behind":              {-time.Hour - 10*time.Second, -time.Hour - time.Second, -10*time.Second + 500*time.Millisecond, -time.Hour - 500*time.Millisecond},
		"a clock ahead":               {time.Hour - time.Second, time.Hour, -400 * time.Millisecond, time.Hour - 600*time.Millisecond},
		"a clock ahead of its own":    {time.Hour + time.Second, time.Hour, 100 * time.Millisecond, time.Hour + 900*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			d := httpapi.Document{Sent: sent, Received: received, Header: http.Header{}}
			if test.date != none {
				d.Header.Set("Date", sent.Add(test.date).Format(http.TimeFormat))
			}
			s := sample{gauge: query.NumberOf(1)}
			if test.measured != none {
				s.measured = sent.Add(test.measured)
			}
			want := answer{gauge: query.NumberOf(1), at: sent.Add(test.at), skew: test.skew}
			got, err := place("http://server", s, d)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" || err != nil {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestTimesFarInTheFuture are refused: a value would look fresh until then.
func TestTimesFarInTheFuture(t *testing.T) {
	sent := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := httpapi.Document{Sent: sent, Received: sent, Header: http.Header{}}
	got, err := place("http://server", sample{gauge: query.NumberOf(1), measured: sent.Add(query.AheadAllowed + time.Second)}, d)
	if reason, _ := source.ReasonOf(err); err == nil || reason != source.ReasonBadReply {
		t.Errorf("it is placed at %s with error %v", got.at, err)
	}
}

// TestCutDocuments do not end in the middle of a number.
func TestCutDocuments(t *testing.T) {
	series, err := newSeriesExtractor("a")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := newJSONExtractor("{@}", "")
	if err != nil {
		t.Fatal(err)
	}
	member, err := newJSONExtractor("{.a}", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		extractor
		body string
		want read
	}{
		"a series, cut":   {series, "b 1\na 12", read{reason: source.ReasonBadReply}},
		"a series, whole": {series, "b 1\na 123\n", read{gauge: query.NumberOf(123)}},
		"a number":        {whole, "12", read{reason: source.ReasonBadReply}},
		"an object":       {member, `{"a":12}`, read{gauge: query.NumberOf(12)}},
	} {
		d := document("text/plain", test.body)
		d.Whole = false
		if diff := cmp.Diff(test.want, extracted(test.extractor, d), cmp.AllowUnexported(read{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// FuzzJSON looks for any path in any document: what comes of it is a finite
// number, a way of not being one, or an error.
func FuzzJSON(f *testing.F) {
	for _, seed := range [][2]string{
		{"{.a.b}", `{"a":{"b":1}}`}, {"{.a[1:2].b}", `{"a":[{"b":1},{"b":2}]}`}, {`{..b}`, `{"a":{"b":1}}`},
		{`{.a[?(@.b>1)].c}`, `{"a":[{"b":1},{"b":2,"c":"3"}]}`}, {`{range .a[*]}{.b}{end}`, `{"a":[{"b":1}]}`},
		{`{.a['b','c']}`, `{"a":{"b":1,"c":2}}`}, {`{.a[-1:]}`, `{"a":[1,null]}`}, {`{@}`, `null`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		e, err := newJSONExtractor(path, path)
		if err != nil {
			return
		}
		check(t, e, document("application/json", body))
	})
}

// FuzzSeries looks for a series in any document.
func FuzzSeries(f *testing.F) {
	f.Add("a{x=\"1\"} 5 7\n# EOF\n", true)
	f.Add("# HELP a b\na 1\n\nb{} NaN\n", false)
	e, err := newSeriesExtractor("a")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string, open bool) {
		contentType := "text/plain"
		if open {
			contentType = openMetricsType
		}
		check(t, e, document(contentType, body))
	})
}

func check(t *testing.T, e extractor, d httpapi.Document) {
	t.Helper()
	got := extracted(e, d)
	switch {
	case got.reason == source.ReasonBadReply || got.reason == reasonAmbiguous:
	case got.reason != "":
		t.Errorf("got reason %s", got.reason)
	case got.gauge.Presence == query.Number:
		if math.IsNaN(got.gauge.Value) || math.IsInf(got.gauge.Value, 0) {
			t.Errorf("got %v as a number", got.gauge.Value)
		}
	case got.gauge != empty && got.gauge != nan:
		t.Errorf("got %+v", got.gauge)
	}
}
