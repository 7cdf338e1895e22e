package table_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/table"
)

func TestListenersAreToldOutsideTheLock(t *testing.T) {
	tb := table.New()
	var all []table.Changed
	stopAll := tb.WatchAll(func(c table.Changed) {
		tb.Get(c.Namespace, c.Metric) // would wait for ever under the lock
		all = append(all, c)
	})
	depths := 0
	stop := tb.Watch("shop", "depth", func() { depths++ })
	check := func(wantDepths int, want ...table.Changed) {
		t.Helper()
		if diff := cmp.Diff(want, all); diff != "" || depths != wantDepths {
			t.Errorf("told of depth %d times, want %d; of all (-want +got):\n%s", depths, wantDepths, diff)
		}
		all = nil
	}
	tb.Put(unit("shop", "a"), served(1, "depth", "rate"))
	check(1, table.Changed{Namespace: "shop", Metric: "depth"}, table.Changed{Namespace: "shop", Metric: "rate"})
	tb.Put(unit("shop", "a"), served(1, "rate"))
	check(2, table.Changed{Namespace: "shop", Metric: "depth"}, table.Changed{Namespace: "shop", Metric: "rate"})
	tb.Put(unit("other", "a"), served(1, "depth"))
	check(2, table.Changed{Namespace: "other", Metric: "depth"})
	tb.Put(unit("", "shared"), served(1, "depth"))
	check(3, table.Changed{Metric: "depth"})
	stop()
	tb.Delete(unit("shop", "a"))
	tb.Delete(unit("shop", "a"))
	tb.Delete(unit("", "shared"))
	check(3, table.Changed{Namespace: "shop", Metric: "rate"}, table.Changed{Metric: "depth"})
	stopAll()
	tb.Put(unit("shop", "a"), served(1, "depth"))
	check(3)
}
