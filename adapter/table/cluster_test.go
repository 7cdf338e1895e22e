package table_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// teams are namespaces by name with their team.
type teams map[string]string

func (t teams) Labels(namespace string) (labels.Set, bool) {
	team, ok := t[namespace]
	return labels.Set{"team": team}, ok
}

// TestObjectsOfTheWholeCluster: the namespace's own first, then the oldest that
// chooses the namespace; a selector that cannot be read chooses none.
func TestObjectsOfTheWholeCluster(t *testing.T) {
	served := table.New()
	created := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	put := func(unit decision.Unit, age time.Duration, namespaces string) decision.Unit {
		served.Put(unit, query.Served{
			Facts:   query.Facts{Created: created.Add(-age), Namespaces: namespaces},
			Samples: []query.Sample{{Metric: "depth"}},
		})
		return unit
	}
	cluster := func(name string) decision.Unit { return decision.Unit{Kind: "ClusterMetricSource", Name: name} }
	data := put(cluster("data"), 3*time.Hour, "team in (data,lake)")
	put(cluster("broken"), 4*time.Hour, "team in (")
	all := put(cluster("all"), time.Hour, "")
	own := put(decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "own"}, 0, "")
	// want has, in this order, what shop, reports, bank and new read.
	want := func(when string, names ...string) {
		t.Helper()
		var got []string
		for _, namespace := range []string{"shop", "reports", "bank", "new"} {
			e, _ := served.Get(namespace, "depth")
			got = append(got, e.Unit.Name)
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	want("while no labels are known", "own", "all", "all", "all")
	served.Choose(teams{"shop": "data", "reports": "lake", "bank": "money"})
	want("with labels", "own", "data", "all", "all")
	for namespace, serves := range map[string]bool{"shop": true, "reports": true, "bank": false, "new": false} {
		if served.Serves(data, namespace) != serves {
			t.Errorf("the object serves %s: %t, want %t", namespace, !serves, serves)
		}
	}
	served.Delete(own)
	want("without the namespace's own", "data", "data", "all", "all")
	put(data, 3*time.Hour, "team=money")
	want("with another selector", "all", "all", "data", "all")
	served.Delete(all)
	want("without the one for all", "", "", "data", "")
}
