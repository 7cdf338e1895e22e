package server

import (
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/formula"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// TestFormulaFollowsTheTable lets a formula that is polled once an hour follow a
// metric that is put into the table.
func TestFormulaFollowsTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := table.New()
		c, err := collector.New(collector.Config{Clock: clock.RealClock{}, Notify: func(string) {}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		q, err := formula.NewBuilder(inputs{table: served, clock: clock.RealClock{}}).Build(t.Context(), source.Request{
			Namespace: "shop", Source: v1alpha1.Source{Formula: &v1alpha1.FormulaSource{
				Expression: "2.0 * a", Inputs: []v1alpha1.FormulaInput{{Name: "a", Metric: "orders"}},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Subscribe(collector.Subscription{ID: "shop/work", Query: q, Interval: time.Hour, Timeout: time.Second}); err != nil {
			t.Fatal(err)
		}
		put := func(value float64, fault *decision.Fault) time.Time {
			at := time.Now().UTC()
			served.Put(decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "orders"}, query.Served{
				Facts:   query.Facts{Source: "orders", MaxAge: time.Minute, SampledAt: at},
				Samples: []query.Sample{{Metric: "orders", Kind: query.Depth, Value: value, Fault: fault}},
			})
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			return at
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := c.Poll("shop/work"); got.Reading != nil || got.LastFailure == nil || got.LastFailure.Reason != formula.ReasonInput {
			t.Fatalf("without its input the formula has %+v and failed with %+v", got.Reading, got.LastFailure)
		}
		for _, value := range []float64{3, 4} {
			at := put(value, nil)
			if got := c.Poll("shop/work"); got.Failing || !got.Reading.At.Equal(at) || got.Reading.Gauges[query.Value] != query.NumberOf(2*value) {
				t.Errorf("a moment after %v at %s the formula has %+v, failing %t", value, at, got.Reading, got.Failing)
			}
		}
		put(0, &decision.Fault{Reason: "EmptyReply"})
		if got := c.Poll("shop/work"); !got.Failing || got.LastFailure.Message != "input a: metric orders is not served: EmptyReply" {
			t.Errorf("a moment after its input has no value the formula has %+v, failing %t", got.LastFailure, got.Failing)
		}
	})
}

// TestInputsAreJudged reads a metric while it grows old.
func TestInputsAreJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := table.New()
		values := inputs{table: served, clock: clock.RealClock{}}
		if _, _, fault := values.Value("shop", "orders"); fault == nil || fault.Reason != reasonNotFound {
			t.Errorf("a metric that nobody serves gives %v", fault)
		}
		at := time.Now().UTC()
		served.Put(decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "orders"}, query.Served{
			Facts:   query.Facts{Source: "orders", MaxAge: time.Minute, SampledAt: at},
			Samples: []query.Sample{{Metric: "orders", Kind: query.Depth, Value: 5}},
		})
		if value, measured, fault := values.Value("shop", "orders"); fault != nil || value != 5 || !measured.Equal(at) {
			t.Errorf("got %v of %s with fault %v, want 5 of %s", value, measured, fault, at)
		}
		if _, _, fault := values.Value("other", "orders"); fault == nil {
			t.Error("a metric of another namespace was given")
		}
		time.Sleep(61 * time.Second)
		if _, _, fault := values.Value("shop", "orders"); fault == nil || fault.Reason != query.ReasonStale {
			t.Errorf("a metric that is too old gives %v", fault)
		}
	})
}
