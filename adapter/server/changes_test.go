package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/metricchanges"
)

// TestChangesAreWhatReadsAreAnsweredWith follows one metric through its life.
func TestChangesAreWhatReadsAreAnsweredWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := table.New()
		feed := newChangeFeed(tb, clock.RealClock{})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := feed.run(ctx); err != nil {
				t.Error(err)
			}
		})
		w, err := feed.store.Watch(metricchanges.WatchOptions{
			Match: func(*metricchanges.MetricChange) bool { return true }, Anew: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		told := func() []string {
			var out []string
			for synctest.Wait(); ; synctest.Wait() {
				select {
				case e, ok := <-w.ResultChan():
					if !ok {
						return append(out, "end")
					}
					c := e.Object.(*metricchanges.MetricChange)
					text := string(e.Type) + " " + c.Namespace + "/" + c.Name + " " + c.SourceRef.Kind + " " + c.Reason
					if e.Type != watch.Deleted && c.Value != nil {
						text += c.Value.String()
					}
					out = append(out, text)
				default:
					return out
				}
			}
		}
		synctest.Wait()
		put := func(unit decision.Unit, depth float64) {
			tb.Put(unit, query.Served{
				Facts:   query.Facts{Source: "a test", MaxAge: 10 * time.Second, SampledAt: time.Now()},
				Samples: []query.Sample{{Metric: "depth", Kind: query.Depth, Value: depth}},
			})
		}
		own := decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "orders"}
		shared := decision.Unit{Kind: "ClusterMetricSource", Name: "orders"}
		for i, step := range []struct {
			do   func()
			want []string
		}{
			{func() { put(own, 7) }, []string{"ADDED shop/depth MetricSource 7"}},
			{func() { time.Sleep(5 * time.Second); put(own, 7) }, nil},
			{func() { put(own, 0) }, []string{"MODIFIED shop/depth MetricSource 0"}},
			// Nothing is put, and time alone makes the sample too old.
			{func() { time.Sleep(12 * time.Second) }, []string{"MODIFIED shop/depth MetricSource Stale"}},
			{func() { put(own, 0) }, []string{"MODIFIED shop/depth MetricSource 0"}},
			{func() { put(shared, 3) }, []string{"ADDED /depth ClusterMetricSource 3"}},
			{func() { tb.Delete(own) }, []string{"DELETED shop/depth MetricSource "}},
			{func() { tb.Delete(shared) }, []string{"DELETED /depth ClusterMetricSource "}},
			{stop, []string{"end"}},
		} {
			step.do()
			if diff := cmp.Diff(step.want, told()); diff != "" {
				t.Errorf("step %d (-want +got):\n%s", i, diff)
			}
		}
		running.Wait()
	})
}
