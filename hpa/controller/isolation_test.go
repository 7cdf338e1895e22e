package controller

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// TestASlowBackendDelaysOnlyWhoAsksIt has a fifth of 1,000 objects use a metric that
// answers too late, each in a question of its own.
func TestASlowBackendDelaysOnlyWhoAsksIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all, slow = 1000, 200
		var objects []runtime.Object
		for i := range all {
			metric := externalMetric("quick")
			if i%2 == 0 {
				metric = cpuMetric()
			}
			if i%5 == 0 {
				metric = externalMetric("slow")
			}
			if metric.External != nil {
				metric.External.Metric.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"queue": fmt.Sprint(i)}}
			}
			objects = append(objects, target("shop", fmt.Sprintf("web-%03d", i), 1, metric)...)
		}
		f := newFleet(t, objects...)
		f.wait["slow"] = 30 * time.Second
		// The fake's watch does not take so many changes at once.
		f.client.PrependReactor("update", "horizontalpodautoscalers", func(a clienttesting.Action) (bool, runtime.Object, error) {
			return true, a.(clienttesting.UpdateAction).GetObject(), nil
		})
		f.run(t)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		f.mu.Lock()
		slept := 0
		for name, times := range f.turns {
			if f.last[name].Reason == replicas.ReasonNoMetrics {
				slept++
				continue
			}
			if len(times) < 20 {
				t.Errorf("%s had %d turns in five minutes", name, len(times))
			}
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap > 15100*time.Millisecond {
					t.Fatalf("%s waited %s for its turn", name, gap)
				}
			}
		}
		queries := f.asked["slow"]
		f.mu.Unlock()
		if slept != slow {
			t.Errorf("%d objects had no answer, want %d", slept, slow)
		}
		// Twenty go out at once before the breaker opens, and then one in a period.
		if queries > 20+21 {
			t.Errorf("%d queries of the metric that does not answer", queries)
		}
		if got := testutil.ToFloat64(f.c.c.publisher.metrics.asked.silent.WithLabelValues(apiExternal)); got != 1 {
			t.Errorf("%v metrics count as silent, want 1", got)
		}
	})
}

// silent ends the message of a metric that is not asked for now.
const silent = "unable to fetch metrics from external metrics API: no answer within 10s, 3 times in a row: " +
	"only one query every 15s is tried until one is answered"

func TestABackendThatAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var objects []runtime.Object
		for i := range 5 {
			metric := externalMetric("slow")
			metric.External.Metric.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"queue": fmt.Sprint(i)}}
			objects = append(objects, target("shop", fmt.Sprintf("web-%d", i), 0, metric)...)
		}
		f := newFleet(t, objects...)
		f.wait["slow"] = 11 * time.Second
		f.run(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		for i := range 5 {
			hpa, err := f.client.AutoscalingV2().HorizontalPodAutoscalers("shop").Get(t.Context(), fmt.Sprintf("web-%d", i), metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range hpa.Status.Conditions {
				if c.Type == autoscalingv2.ScalingActive && (c.Reason != "FailedGetExternalMetric" || !strings.HasSuffix(c.Message, silent)) {
					t.Errorf("shown is %s %q", c.Reason, c.Message)
				}
			}
		}
		count := func() (n int) {
			for _, a := range f.client.Actions() {
				if a.GetVerb() == "update" {
					n++
				}
			}
			return n
		}
		writes := count()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := count(); got != writes {
			t.Errorf("%d status writes while nothing changed", got-writes)
		}
		f.mu.Lock()
		f.wait["slow"] = 0
		f.mu.Unlock()
		time.Sleep(45 * time.Second)
		synctest.Wait()
		f.mu.Lock()
		for name, d := range f.last {
			if d.Proposals[0].Failure != "" {
				t.Errorf("%s still fails after the backend answers: %s", name, d.Message)
			}
		}
		f.mu.Unlock()
		if got := testutil.ToFloat64(f.c.c.publisher.metrics.asked.silent.WithLabelValues(apiExternal)); got != 0 {
			t.Errorf("%v metrics count as silent", got)
		}
	})
}
