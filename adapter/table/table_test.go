package table_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func unit(namespace, name string) decision.Unit {
	return decision.Unit{Kind: "MetricSource", Namespace: namespace, Name: name, UID: name}
}

func served(created int, metrics ...string) query.Served {
	s := query.Served{Facts: query.Facts{Created: epoch.Add(time.Duration(created) * time.Hour)}}
	for i, m := range metrics {
		s.Samples = append(s.Samples, query.Sample{Metric: m, Kind: query.Depth, Value: float64(i)})
	}
	return s
}

// holder names the object that serves a metric, empty for none.
func holder(t *table.Table, namespace, metric string) string {
	e, ok := t.Get(namespace, metric)
	if !ok {
		return ""
	}
	return e.Unit.Name
}

func TestTheOlderOfTwoIsGiven(t *testing.T) {
	tb := table.New()
	tb.Put(unit("shop", "younger"), served(2, "depth"))
	tb.Put(unit("shop", "older"), served(1, "depth", "rate"))
	tb.Put(unit("elsewhere", "other"), served(0, "depth"))

	steps := []struct {
		do   func()
		want map[string]string
	}{
		{func() {}, map[string]string{"shop/depth": "older", "shop/rate": "older", "elsewhere/depth": "other"}},
		{func() { tb.Put(unit("shop", "younger"), served(2, "depth")) }, map[string]string{"shop/depth": "older", "shop/rate": "older", "elsewhere/depth": "other"}},
		{func() { tb.Put(unit("shop", "older"), served(1, "rate")) }, map[string]string{"shop/depth": "younger", "shop/rate": "older", "elsewhere/depth": "other"}},
		{func() { tb.Delete(unit("shop", "older")) }, map[string]string{"shop/depth": "younger", "shop/rate": "", "elsewhere/depth": "other"}},
		{func() { tb.Delete(unit("shop", "older")); tb.Delete(unit("shop", "younger")) }, map[string]string{"shop/depth": "", "shop/rate": "", "elsewhere/depth": "other"}},
	}
	for i, step := range steps {
		step.do()
		got := map[string]string{
			"shop/depth": holder(tb, "shop", "depth"), "shop/rate": holder(tb, "shop", "rate"),
			"elsewhere/depth": holder(tb, "elsewhere", "depth"),
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestOfTwoOfOneAgeTheNameDecides(t *testing.T) {
	tb := table.New()
	tb.Put(unit("shop", "b"), served(1, "depth"))
	tb.Put(unit("shop", "a"), served(1, "depth"))
	if got := holder(tb, "shop", "depth"); got != "a" {
		t.Errorf("%s serves, want a", got)
	}
}

func TestNames(t *testing.T) {
	tb := table.New()
	check := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, append([]string(nil), tb.Names()...)); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	}
	check()
	tb.Put(unit("shop", "a"), served(1, "z", "depth"))
	tb.Put(unit("other", "b"), served(1, "depth"))
	check("depth", "z")
	tb.Delete(unit("shop", "a"))
	check("depth")
	tb.Put(unit("other", "b"), served(1, "new"))
	check("new")
}
