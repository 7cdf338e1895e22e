package formula_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/formula"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// noon is when tests begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// served are the metrics of namespace shop. It is a formula.Values.
type served struct {
	mu       sync.Mutex
	now      time.Time
	maxAge   time.Duration
	samples  map[string]sample
	watchers map[int]func(metric string)
}

type sample struct {
	value float64
	at    time.Time
}

func newServed() *served {
	return &served{now: noon, maxAge: time.Minute, samples: map[string]sample{}, watchers: map[int]func(string){}}
}

// Value judges as the adapter does.
func (s *served) Value(namespace, metric string) (float64, time.Time, *decision.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, ok := s.samples[metric]
	if !ok || namespace != "shop" {
		return 0, time.Time{}, &decision.Fault{Reason: "MetricNotFound"}
	}
	facts := query.Facts{Source: "MetricSource shop/" + metric, MaxAge: s.maxAge, SampledAt: got.at}
	return got.value, got.at, query.Judge(query.Sample{}, facts, s.now)
}

func (s *served) Watch(_, metric string, changed func()) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := len(s.watchers)
	s.watchers[id] = func(m string) {
		if m == metric {
			changed()
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, id)
	}
}

// put serves a value measured at a time, and tells the watchers.
func (s *served) put(metric string, value float64, at time.Time) {
	s.mu.Lock()
	s.samples[metric] = sample{value, at}
	var tell []func(string)
	for _, w := range s.watchers {
		tell = append(tell, w)
	}
	s.mu.Unlock()
	for _, w := range tell {
		w(metric)
	}
}

func (s *served) remove(metric string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.samples, metric)
}

func spec(expression string, inputs ...string) v1alpha1.FormulaSource {
	f := v1alpha1.FormulaSource{Expression: expression}
	for _, in := range inputs {
		name, metric, _ := strings.Cut(in, "=")
		f.Inputs = append(f.Inputs, v1alpha1.FormulaInput{Name: name, Metric: metric})
	}
	return f
}

func build(t testing.TB, values formula.Values, f v1alpha1.FormulaSource) (source.Query, error) {
	t.Helper()
	return formula.NewBuilder(values).Build(t.Context(), source.Request{
		Namespace: "shop", Name: "work", Source: v1alpha1.Source{Formula: &f}, Kinds: []query.Kind{query.Value},
	})
}

func open(t testing.TB, values formula.Values, expression string, inputs ...string) source.Pusher {
	t.Helper()
	q, err := build(t, values, spec(expression, inputs...))
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	pusher, ok := p.(source.Pusher)
	if !ok {
		t.Fatal("a formula is not told of changes")
	}
	return pusher
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	reason, _ := source.ReasonOf(err)
	return reason
}

func TestExpressions(t *testing.T) {
	s := newServed()
	s.put("orders_depth", 10, noon)
	s.put("returns_depth", 2.5, noon)
	nan := query.Gauge{Presence: query.NotANumber}
	for expression, want := range map[string]struct {
		gauge  query.Gauge
		reason string
	}{
		"a + 2.0 * b":                            {query.NumberOf(15), ""},
		"math.greatest(a, b * 8.0)":              {query.NumberOf(20), ""},
		"math.greatest(a, 11)":                   {query.NumberOf(11), ""}, // a type that only the value shows
		"math.least([a, b, 1.5])":                {query.NumberOf(1.5), ""},
		"math.ceil(b) + math.floor(b)":           {query.NumberOf(5), ""},
		"math.round(b) + math.abs(-1.0)":         {query.NumberOf(4), ""},
		"a > 5.0 && b > 0.0 ? a : 0.0":           {query.NumberOf(10), ""},
		"a > 5 ? 1 : 0":                          {query.NumberOf(1), ""},
		"int(a) % 3":                             {query.NumberOf(1), ""},
		"uint(a)":                                {query.NumberOf(10), ""},
		"-a":                                     {query.NumberOf(-10), ""},
		"0.0":                                    {query.NumberOf(0), ""},
		"a / (b - 2.5)":                          {nan, ""},
		"(a - 10.0) / (b - 2.5)":                 {nan, ""},
		"a * 1e308":                              {nan, ""},
		"int(a) / (int(b) - 2)":                  {query.Gauge{}, formula.ReasonFormula},
		"int(a * 1e30)":                          {query.Gauge{}, formula.ReasonFormula},
		"[a, b][2]":                              {query.Gauge{}, formula.ReasonFormula},
		"a > 5.0 ? dyn(a) : dyn('many')":         {query.NumberOf(10), ""},
		"a > 50.0 ? dyn(a) : dyn('many')":        {query.Gauge{}, formula.ReasonFormula},
		"'x'.matches('x') ? a : b":               {query.NumberOf(10), ""},
		"{'low': a}['low'] + [b][0]":             {query.NumberOf(12.5), ""},
		"math.isNaN(a / 0.0 - a / 0.0) ? 0.0: a": {query.NumberOf(0), ""}, // the author's own word that it is 0
	} {
		t.Run(expression, func(t *testing.T) {
			r, err := open(t, s, expression, "a=orders_depth", "b=returns_depth").Poll(t.Context())
			if reasonOf(err) != want.reason {
				t.Fatalf("got error %v, want %q", err, want.reason)
			}
			if diff := cmp.Diff(want.gauge, r.Gauges[query.Value]); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnusableExpressions(t *testing.T) {
	for name, test := range map[string]struct {
		expression string
		inputs     []string
		want       string
	}{
		"no CEL":              {"a +", []string{"a=x"}, "line 1, character 4"},
		"second line":         {"a +\n b", []string{"a=x"}, "line 2, character 2: undeclared reference to 'b'"},
		"an integer":          {"a * 2", []string{"a=x"}, "inputs are doubles: write 2.0, not 2"},
		"a condition":         {"a > 1.0", []string{"a=x"}, "gives a bool, not a number"},
		"a text":              {"'a'", []string{"a=x"}, "gives a string, not a number"},
		"a list":              {"[a]", []string{"a=x"}, "gives a list(double), not a number"},
		"a loop":              {"[1.0, 2.0].map(x, x * a)[0]", []string{"a=x"}, "undeclared reference"},
		"a word of CEL's own": {"in + 1.0", []string{"in=x"}, "line 1"},
		"one name twice":      {"a", []string{"a=x", "a=y"}, ""},
		"empty":               {"", []string{"a=x"}, "line 1"},
		"a time":              {"timestamp('2026-03-01T12:00:00Z')", []string{"a=x"}, "gives a"},
		"too deep":            {strings.Repeat("(", 2000) + "a" + strings.Repeat(")", 2000), []string{"a=x"}, "recursion"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := build(t, newServed(), spec(test.expression, test.inputs...))
			if name == "one name twice" && err == nil {
				return // the API has no two inputs of one name
			}
			if reasonOf(err) != source.ReasonInvalid || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
	b := formula.NewBuilder(newServed())
	f := spec("a", "a=x")
	if _, err := b.Build(t.Context(), source.Request{Source: v1alpha1.Source{Formula: &f}}); reasonOf(err) != source.ReasonInvalid {
		t.Errorf("a formula of the whole cluster is built with error %v", err)
	}
	if _, err := b.Build(t.Context(), source.Request{Namespace: "shop"}); reasonOf(err) != source.ReasonInvalid {
		t.Errorf("a source of another kind is built with error %v", err)
	}
	if _, ours := b.Describe(v1alpha1.Source{}); ours {
		t.Error("a source of another kind is described")
	}
}

func TestDescriptionsAndKeys(t *testing.T) {
	few, _ := build(t, newServed(), spec("a", "a=x"))
	many, err := build(t, newServed(), spec("a + b + c + d + e", "a=v", "b=w", "c=x", "d=y", "e=z"))
	if err != nil {
		t.Fatal(err)
	}
	if few.String() != "formula of x" || many.String() != "formula of v, w, x and 2 more" || few.Kind() != "formula" {
		t.Errorf("they are called %q and %q", few, many)
	}
	again, _ := build(t, newServed(), spec("a", "a=x"))
	other, _ := build(t, newServed(), spec("a", "a=y"))
	if few.Key() != again.Key() || few.Key() == many.Key() || few.Key() == other.Key() {
		t.Error("keys do not tell questions apart")
	}
	f := spec("a", "a=x")
	elsewhere, err := formula.NewBuilder(newServed()).Build(t.Context(), source.Request{Namespace: "other", Source: v1alpha1.Source{Formula: &f}})
	if err != nil || elsewhere.Key() == few.Key() || elsewhere.Subject() == few.Subject() {
		t.Error("formulas of two namespaces have one key")
	}
}

// TestNoInputIsNoValue takes the inputs away in every way there is.
func TestNoInputIsNoValue(t *testing.T) {
	s := newServed()
	p := open(t, s, "a + b", "a=orders", "b=returns")
	wantFailure := func(want string) {
		t.Helper()
		r, err := p.Poll(t.Context())
		if reasonOf(err) != formula.ReasonInput || err.Error() != want {
			t.Errorf("got %v with error %v, want %q", r.Gauges, err, want)
		}
	}
	wantFailure("input a: metric orders is not served: MetricNotFound")
	s.put("orders", 1, noon)
	wantFailure("input b: metric returns is not served: MetricNotFound")
	s.put("returns", 2, noon.Add(-10*time.Second))
	r, err := p.Poll(t.Context())
	if err != nil || !r.At.Equal(noon.Add(-10*time.Second)) || r.Gauges[query.Value] != query.NumberOf(3) {
		t.Errorf("got %+v with error %v, want 3 as old as the oldest input", r, err)
	}
	recorder := &source.Recorder{}
	if _, err := p.Poll(source.WithRecorder(t.Context(), recorder)); err != nil {
		t.Error(err)
	}
	if replies := recorder.Take(); len(replies) != 1 || string(replies[0].Body) != "a = 1 (orders)\nb = 2 (returns)\n" {
		t.Errorf("recorded %q", replies)
	}
	s.now = noon.Add(55 * time.Second)
	wantFailure("input b: metric returns of MetricSource shop/returns is not served: Stale")
	s.remove("orders")
	wantFailure("input a: metric orders is not served: MetricNotFound")
}

func TestInputsAreFollowedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServed()
		s.put("orders", 1, noon)
		p := open(t, s, "a", "a=orders")
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		ended := make(chan error)
		go func() { ended <- p.Watch(ctx, func() { told++ }) }()
		expect := func(want int, what string) {
			t.Helper()
			if synctest.Wait(); told != want {
				t.Errorf("%s: told %d times, want %d", what, told, want)
			}
			told = 0
			_, _ = p.Poll(t.Context())
		}
		expect(1, "what was there before the watch and was never polled")
		s.put("orders", 1, noon.Add(time.Second))
		expect(1, "a new sample of the same value")
		s.put("orders", 5, noon.Add(time.Second))
		expect(0, "another value of the same time")
		s.put("returns", 5, noon.Add(time.Second))
		expect(0, "another metric")
		s.put("orders", 5, noon.Add(-time.Hour))
		expect(1, "an input that became stale")
		s.put("orders", 6, noon.Add(-time.Hour))
		expect(0, "an input that is stale still")
		s.put("orders", 6, noon)
		expect(1, "an input that is fresh again")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.put("orders", 7, noon.Add(time.Second))
		expect(0, "a change after the watch")
	})
}
