package promql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/promql"
)

func TestDataTime(t *testing.T) {
	for name, test := range map[string]struct {
		query string
		by    []string
		want  string // empty: nothing to ask
		reach time.Duration
	}{
		"a plain selector": {query: `queue_depth{queue="orders"}`, want: `min(timestamp({__name__="queue_depth",queue="orders"}))`},
		"an aggregation":   {query: `sum(queue_depth)`, want: `min(timestamp({__name__="queue_depth"}))`},
		"a name that is a keyword": {query: `sum({__name__="sum"})`,
			want: `min(timestamp({__name__="sum"}))`},
		"a rate": {query: `sum(rate(done_total[5m]))`, reach: 5 * time.Minute,
			want: `min(timestamp({__name__="done_total"})) or max(max_over_time(timestamp({__name__="done_total"})[5m:30s]))`},
		"a short rate": {query: `rate(done_total[4s])`, reach: 4 * time.Second,
			want: `min(timestamp({__name__="done_total"})) or max(max_over_time(timestamp({__name__="done_total"})[4s:1s]))`},
		"a subquery reaches further": {query: `max_over_time(rate(done_total[1m])[10m:])`, reach: 11 * time.Minute,
			want: `min(timestamp({__name__="done_total"})) or max(max_over_time(timestamp({__name__="done_total"})[11m:1m6s]))`},
		"two selectors": {query: `a / b`,
			want: `min(label_replace(min(timestamp({__name__="a"})), "quartet_selector", "0", "", "") or label_replace(min(timestamp({__name__="b"})), "quartet_selector", "1", "", ""))`},
		"one selector twice":    {query: `a / (a + 1)`, want: `min(timestamp({__name__="a"}))`},
		"by labels":             {query: `a`, by: []string{"namespace", "pod"}, want: `min by (namespace, pod) (timestamp({__name__="a"}))`},
		"of the past":           {query: `a offset 5m`},
		"at a time":             {query: `a @ 1600000000`},
		"a subquery's past":     {query: `max_over_time(a[5m:1m] offset 1d)`},
		"now less the past":     {query: `a - a offset 1d`, want: `min(timestamp({__name__="a"}))`},
		"a constant":            {query: `vector(1)`},
		"a number":              {query: `42`},
		"another maker's words": {query: `rollup(a[5m]) keep_metric_names`},
		"no query":              {query: `sum(`},
	} {
		t.Run(name, func(t *testing.T) {
			got, reach := promql.DataTime(test.query, test.by)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("DataTime gives another query (-want +got):\n%s", diff)
			}
			if reach != test.reach {
				t.Errorf("the query reaches back %s, want %s", reach, test.reach)
			}
			if got != "" {
				if err := promql.Check(got); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestDataTimeIsBounded(t *testing.T) {
	var names []string
	for a := 'a'; a <= 'z'; a++ {
		names = append(names, "metric_"+string(a))
	}
	got, _ := promql.DataTime(strings.Join(names, " + "), nil)
	if n := strings.Count(got, "timestamp("); n != 16 {
		t.Errorf("26 selectors are asked for %d times, want 16", n)
	}
}

func TestSelector(t *testing.T) {
	s, err := promql.ParseSelector(`http_requests_total{namespace!="",pod=~"a|b"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{__name__="http_requests_total",namespace!="",namespace="shop\"s",pod=~"a|b"}`
	if diff := cmp.Diff(want, s.Named("http_requests_total").Equal("namespace", `shop"s`).String()); diff != "" {
		t.Errorf("the narrowed selector (-want +got):\n%s", diff)
	}
	for name, text := range map[string]string{
		"nothing": "", "everything": `{}`, "a range": `a[5m]`, "an expression": `a + b`, "an open brace": `a{`, "a bad regular expression": `a{b=~"("}`,
	} {
		if _, err := promql.ParseSelector(text); err == nil {
			t.Errorf("%s is taken for a selector: %s", name, text)
		}
	}
	if _, err := promql.ParseSelector(`a{b="c",`); err == nil || !strings.Contains(err.Error(), "1:9") {
		t.Errorf("the error names no place: %v", err)
	}
}

func FuzzDataTime(f *testing.F) {
	for _, seed := range []string{
		`a`, `sum(rate(a{b="c"}[5m])) / b`, `{"my.metric"}`, `max_over_time(a[5m:1m] @ end())`, `{__name__="sum",x!~".+"}`, "(", "a offset -5m",
		`info(a)`, `absent(a) or vector(0)`, `histogram_quantile(0.9, sum by (le) (rate(b[1m])))`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, by := range [][]string{nil, {"namespace", "pod"}} {
			got, reach := promql.DataTime(query, by)
			if got == "" {
				continue
			}
			if reach < 0 {
				t.Fatalf("%q reaches back %s", query, reach)
			}
			if err := promql.Check(got); err != nil {
				t.Fatalf("the time of %q is asked with %q: %v", query, got, err)
			}
		}
	})
}

func FuzzSelector(f *testing.F) {
	for _, seed := range []string{`a`, `a{b="c"}`, `{__name__=~"a.*",b!=""}`, `{"my.metric","my.label"="x"}`, `{`} {
		f.Add(seed, "shop")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		s, err := promql.ParseSelector(text)
		if err != nil {
			return
		}
		narrowed := s.Equal("namespace", value).String()
		again, err := promql.ParseSelector(narrowed)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, narrowed, err)
		}
		if again.String() != narrowed {
			t.Fatalf("%q is read as %q", narrowed, again)
		}
	})
}
