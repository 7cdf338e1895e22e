package table_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

var podRequests = table.ObjectMetric{Metric: "requests", Resource: "pods", Namespaced: true}

// about is what an object of an age in hours serves of the metric requests of
// pods; a name may be there several times, with labels of its own.
func about(created int, namespace string, pods ...string) query.Served {
	s := query.Served{Facts: query.Facts{Source: fmt.Sprint(created), Created: epoch.Add(time.Duration(created) * time.Hour)}}
	for i, pod := range pods {
		s.Objects.Values = append(s.Objects.Values, query.ObjectValue{
			Metric: "requests", Resource: "pods", Namespace: namespace, Name: pod, Gauge: query.NumberOf(float64(i)),
			Labels: map[string]string{"i": fmt.Sprint(i)},
		})
	}
	slices.SortFunc(s.Objects.Values, query.CompareObjects)
	return s
}

// listed shows the pods of a namespace as "name(series)@source".
func listed(t *table.Table, namespace string) []string {
	var out []string
	for _, e := range t.Objects(podRequests, namespace) {
		out = append(out, fmt.Sprintf("%s(%d)@%s", e.Name(), len(e.Values), e.Facts.Source))
		one, ok := t.Object(podRequests, namespace, e.Name())
		if !ok || one.Facts != e.Facts || len(one.Values) != len(e.Values) {
			out = append(out, fmt.Sprintf("but alone %+v", one))
		}
	}
	return out
}

func TestObjectsAreGivenByWhoGoesBefore(t *testing.T) {
	tb := table.New()
	cluster := decision.Unit{Kind: "ClusterMetricSource", Name: "all", UID: "c"}
	steps := []struct {
		do   func()
		want []string
	}{
		{func() { tb.Put(unit("shop", "b"), about(2, "shop", "web-1", "web-2", "web-2")) }, []string{"web-1(1)@2", "web-2(2)@2"}},
		{func() { tb.Put(cluster, about(0, "shop", "web-0", "web-1")) }, []string{"web-0(1)@0", "web-1(1)@2", "web-2(2)@2"}},
		{func() { tb.Put(unit("shop", "a"), about(1, "shop", "web-2")) }, []string{"web-0(1)@0", "web-1(1)@2", "web-2(1)@1"}},
		{func() { tb.Put(unit("shop", "b"), about(2, "shop", "web-2")) }, []string{"web-0(1)@0", "web-1(1)@0", "web-2(1)@1"}},
		{func() { tb.Delete(unit("shop", "a")) }, []string{"web-0(1)@0", "web-1(1)@0", "web-2(1)@2"}},
		{func() { tb.Put(unit("shop", "b"), about(2, "shop")) }, []string{"web-0(1)@0", "web-1(1)@0"}},
		{func() { tb.Delete(unit("shop", "b")); tb.Delete(cluster); tb.Delete(cluster) }, nil},
	}
	for i, step := range steps {
		step.do()
		if diff := cmp.Diff(step.want, listed(tb, "shop")); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
		if tb.HoldsObjects(podRequests, "shop") != (len(step.want) > 0) {
			t.Errorf("step %d: whether there are any is told wrong", i)
		}
	}
	if _, ok := tb.Object(podRequests, "shop", "web-1"); ok {
		t.Error("what was deleted is given")
	}
}

func TestObjectsOfOtherNamespacesAndKindsAreApart(t *testing.T) {
	tb := table.New()
	tb.Put(unit("shop", "a"), about(1, "shop", "web-1"))
	tb.Put(unit("data", "a"), about(2, "data", "db-1"))
	for _, metric := range []table.ObjectMetric{
		{Metric: "errors", Resource: "pods", Namespaced: true}, {Metric: "requests", Resource: "services", Namespaced: true},
		{Metric: "requests", Group: "apps", Resource: "pods", Namespaced: true},
	} {
		if _, ok := tb.Object(metric, "shop", "web-1"); ok || tb.HoldsObjects(metric, "shop") {
			t.Errorf("%+v is given", metric)
		}
	}
	for namespace, want := range map[string][]string{"shop": {"web-1(1)@1"}, "data": {"db-1(1)@2"}, "": nil} {
		if diff := cmp.Diff(want, listed(tb, namespace)); diff != "" {
			t.Errorf("namespace %q (-want +got):\n%s", namespace, diff)
		}
	}
}

func TestObjectMetrics(t *testing.T) {
	tb := table.New()
	check := func(want ...table.ObjectMetric) {
		t.Helper()
		if diff := cmp.Diff(want, append([]table.ObjectMetric(nil), tb.ObjectMetrics()...)); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	}
	check()
	node := query.Served{Objects: query.Objects{Values: []query.ObjectValue{{Metric: "heat", Resource: "nodes", Name: "n1"}}}}
	tb.Put(decision.Unit{Name: "c"}, node)
	tb.Put(unit("shop", "a"), about(1, "shop", "web-1"))
	tb.Put(unit("data", "a"), about(1, "data", "db-1"))
	heat := table.ObjectMetric{Metric: "heat", Resource: "nodes"}
	check(heat, podRequests)
	tb.Delete(unit("data", "a"))
	check(heat, podRequests)
	tb.Delete(unit("shop", "a"))
	check(heat)
	tb.Put(decision.Unit{Name: "c"}, query.Served{})
	check()
}

// BenchmarkPutObjects replaces 5,000 values about the pods of 50 namespaces.
func BenchmarkPutObjects(b *testing.B) {
	var served query.Served
	for i := range 5000 {
		served.Objects.Values = append(served.Objects.Values, query.ObjectValue{
			Metric: "requests", Resource: "pods", Namespace: fmt.Sprintf("n%02d", i/100), Name: fmt.Sprintf("web-%04d", i), Gauge: query.NumberOf(1),
		})
	}
	tb := table.New()
	b.ReportAllocs()
	for b.Loop() {
		tb.Put(decision.Unit{Name: "c"}, served)
	}
}
