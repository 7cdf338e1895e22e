package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/crash"
)

// queueHPA is the HPA of withQueueLoop, for a test that changes it.
func (s *stage) queueHPA() *autoscalingv2.HorizontalPodAutoscaler {
	return s.hpa(autoscalingv2.MetricSpec{
		Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: metricName},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(averageValue, resource.DecimalSI)},
		},
	})
}

// TestWindowsSurviveAKill kills the leader with -9 in the middle of a window. The
// next one holds the count until the window's end and no longer: without the
// history it would hold it for a window of its own. Not parallel: the other tests
// share the binary.
func TestWindowsSurviveAKill(t *testing.T) {
	const (
		window = 30 * time.Second
		killed = 12 * time.Second
		slack  = 8 * time.Second
	)
	cases := map[string]struct {
		before, after int32
		change        func(*stage)
	}{
		"up": {1, 3, func(s *stage) { s.fill(60) }},
		"down": {3, 1, func(s *stage) {
			s.work(1000)
			eventually(s.t, 30*time.Second, func() error {
				if depth := s.tally.Counts().Depth(); depth != 0 {
					return fmt.Errorf("%d messages are left", depth)
				}
				return nil
			})
		}},
	}
	// One kill meets both windows, once both run.
	var running sync.WaitGroup
	running.Add(len(cases))
	kill := sync.OnceValue(func() error {
		running.Wait()
		time.Sleep(killed)
		if err := suite.release.Process("hpa-controller").Kill(); err != nil {
			return err
		}
		return expireLease(t.Context(), "hpa-controller")
	})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs := sync.OnceFunc(running.Done)
			defer runs() // The other goes on without one that failed.
			s := newStage(t, suite.lab)
			hpa := s.queueHPA()
			hpa.Spec.Behavior.ScaleUp.StabilizationWindowSeconds = ptr.To(int32(window.Seconds()))
			hpa.Spec.Behavior.ScaleDown.StabilizationWindowSeconds = ptr.To(int32(window.Seconds()))
			s.create(s.deployment(c.before), s.metricSource())
			s.fill(int(c.before-1) * averageValue)
			if c.before > 1 {
				s.fill(averageValue)
			}
			s.create(hpa)
			// The window holds nothing but this.
			consistently(t, window+3*time.Second, func() error {
				if got := s.replicas(); got != c.before {
					return fmt.Errorf("%d replicas, want %d", got, c.before)
				}
				return nil
			})
			c.change(s)
			begin := time.Now()
			runs()
			if err := kill(); err != nil {
				t.Fatal(err)
			}
			s.awaitReplicas(c.after, c.after, window)
			if took := time.Since(begin); took < window-slack/2 || took > window+slack {
				t.Errorf("it went to %d after %s, want %s", c.after, took.Round(100*time.Millisecond), window)
			}
			s.shardsAreKept()
		})
	}
}

// shardsAreKept wants the states in the cluster, under the binary's own permissions.
func (s *stage) shardsAreKept() {
	s.t.Helper()
	var list v1alpha1.StateShardList
	if err := s.client.List(s.t.Context(), &list, ctrlclient.InNamespace(suite.release.Namespace())); err != nil {
		s.t.Fatal(err)
	}
	if len(list.Items) == 0 || len(list.Items[0].Spec.Data) == 0 {
		s.t.Errorf("%d StateShards, want some with data", len(list.Items))
	}
}

// witnessRates makes a workload that asks for three pods and may add one in half
// an hour: whatever is killed meanwhile, it has two.
func witnessRates(s *stage) []crash.Invariant {
	s.t.Helper()
	hpa := s.queueHPA()
	hpa.Spec.Behavior.ScaleUp.Policies[0].Value, hpa.Spec.Behavior.ScaleUp.Policies[0].PeriodSeconds = 1, 1800
	s.fill(3 * averageValue)
	s.create(s.deployment(1), s.metricSource(), hpa)
	s.awaitReplicas(2, 2, 60*time.Second)
	return []crash.Invariant{{Name: "changes are not forgotten", Check: func(ctx context.Context) error {
		var d appsv1.Deployment
		if err := s.client.Get(ctx, ctrlclient.ObjectKey{Namespace: s.namespace, Name: workload}, &d); err != nil {
			return err
		}
		if got := ptr.Deref(d.Spec.Replicas, -1); got != 2 {
			return fmt.Errorf("%d replicas, the policy allows 2", got)
		}
		return nil
	}}}
}
