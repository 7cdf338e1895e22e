package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// policy is one for the stage's HPA.
func (s *stage) policy(name string, spec v1alpha1.HorizontalPolicy) *v1alpha1.HorizontalScalingPolicy {
	return &v1alpha1.HorizontalScalingPolicy{ObjectMeta: s.meta(name), Spec: v1alpha1.HorizontalScalingPolicySpec{
		TargetRef:        v1alpha1.HorizontalTarget{TargetReference: v1alpha1.TargetReference{Name: workload}},
		HorizontalPolicy: spec,
	}}
}

// setPolicy gives a policy another spec.
func (s *stage) setPolicy(name string, spec v1alpha1.HorizontalPolicy) {
	s.t.Helper()
	eventually(s.t, 10*time.Second, func() error {
		policy := &v1alpha1.HorizontalScalingPolicy{}
		s.get(name, policy)
		policy.Spec.HorizontalPolicy = spec
		return s.client.Update(s.t.Context(), policy)
	})
}

// awaitPolicy waits for a condition of a policy with a text in its message.
func (s *stage) awaitPolicy(name, kind, reason, text string) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, func() error {
		policy := &v1alpha1.HorizontalScalingPolicy{}
		s.get(name, policy)
		c := meta.FindStatusCondition(policy.Status.Conditions, kind)
		if c == nil || c.Reason != reason || !strings.Contains(c.Message, text) || c.ObservedGeneration != policy.Generation {
			return fmt.Errorf("%s of policy %s is %+v, want %s with %q", kind, name, c, reason, text)
		}
		return nil
	})
}

// awaitPoliced waits until the HPA tells what of its policy holds.
func (s *stage) awaitPoliced(reason string) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, func() error {
		if c := s.hpaCondition(replicas.Policed); c.Reason != reason {
			return fmt.Errorf("%s is %s (%s), want %s", replicas.Policed, c.Reason, c.Message, reason)
		}
		return nil
	})
}

// staysAt fails where the count changes within a few turns.
func (s *stage) staysAt(count int32) {
	s.t.Helper()
	consistently(s.t, 3*time.Second, func() error {
		if got := s.replicas(); got != count {
			return fmt.Errorf("%d replicas, want %d; HPA: %s", got, count, s.hpaConditions())
		}
		return nil
	})
}

// alwaysOpen is a schedule whose window is open now.
func alwaysOpen(minimum int32) []v1alpha1.ReplicaSchedule {
	return []v1alpha1.ReplicaSchedule{{
		Name: "always", MinReplicas: ptr.To(minimum),
		RecurringWindow: v1alpha1.RecurringWindow{Cron: "* * * * *", TimeZone: "Europe/Berlin", Duration: metav1.Duration{Duration: 5 * time.Minute}},
	}}
}

// TestHorizontalPolicy: a pause, a schedule, a delay and a fallback rule over an
// HPA as they are edited, and a policy that cannot be read leaves the last one.
func TestHorizontalPolicy(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab).withQueueLoop()
	s.awaitReplicas(1, 1, 30*time.Second)
	s.create(s.policy("night", v1alpha1.HorizontalPolicy{Pause: &v1alpha1.Pause{Direction: v1alpha1.PauseBoth}}))
	s.awaitPolicy("night", v1alpha1.ConditionAttached, "Attached", workload)
	s.awaitPoliced(replicas.ReasonPaused)
	s.fill(100)
	s.staysAt(1)

	s.setPolicy("night", v1alpha1.HorizontalPolicy{})
	s.awaitReplicas(5, 5, 30*time.Second)
	delay := &metav1.Duration{Duration: time.Hour}
	s.setPolicy("night", v1alpha1.HorizontalPolicy{Schedules: alwaysOpen(7), DownscaleDelay: delay})
	s.awaitReplicas(7, 7, 20*time.Second)
	s.awaitPoliced(replicas.ReasonScheduled)

	s.setPolicy("night", v1alpha1.HorizontalPolicy{})
	s.awaitReplicas(5, 5, 30*time.Second)
	s.setPolicy("night", v1alpha1.HorizontalPolicy{Schedules: alwaysOpen(6), DownscaleDelay: delay})
	s.awaitReplicas(6, 6, 20*time.Second)
	s.setPolicy("night", v1alpha1.HorizontalPolicy{DownscaleDelay: delay})
	eventually(t, 20*time.Second, func() error {
		if c := s.hpaCondition(autoscalingv2.AbleToScale); c.Reason != "BackoffDownscale" {
			return fmt.Errorf("AbleToScale is %s (%s), want the delay", c.Reason, c.Message)
		}
		return nil
	})
	s.staysAt(6)

	s.create(s.policy("zz-second", v1alpha1.HorizontalPolicy{}))
	s.awaitPolicy("zz-second", v1alpha1.ConditionAttached, "OlderPolicyHolds", "night")
	unread := alwaysOpen(8)
	unread[0].Cron = "61 8 * * *"
	s.setPolicy("night", v1alpha1.HorizontalPolicy{Schedules: unread})
	s.awaitPolicy("night", v1alpha1.ConditionReady, "ScheduleNotReadable", `cron "61 8 * * *" cannot be read`)
	s.awaitPoliced(replicas.ReasonUnreadable)
	s.staysAt(6)

	s.setPolicy("night", v1alpha1.HorizontalPolicy{DownscaleDelay: delay, Fallback: &v1alpha1.Fallback{
		Policy: v1alpha1.FallbackAtLeast, Replicas: ptr.To(int32(8)), After: metav1.Duration{Duration: time.Second},
	}})
	s.awaitPolicy("night", v1alpha1.ConditionReady, "InForce", workload)
	s.broker.Close()
	s.awaitReplicas(8, 8, 40*time.Second)
	s.awaitPoliced(replicas.ReasonFallback)
}

// TestHorizontalScaler: the kind for clusters whose own controller cannot be
// switched off scales by an external metric, and explain tells why.
func TestHorizontalScaler(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	hpa := s.hpa(autoscalingv2.MetricSpec{
		Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: metricName},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(averageValue, resource.DecimalSI)},
		},
	})
	s.create(s.deployment(1), s.metricSource(), &v1alpha1.HorizontalScaler{ObjectMeta: s.meta(workload), Spec: v1alpha1.HorizontalScalerSpec{
		ScaleTargetRef: hpa.Spec.ScaleTargetRef, MinReplicas: hpa.Spec.MinReplicas, MaxReplicas: hpa.Spec.MaxReplicas,
		Metrics: hpa.Spec.Metrics, Behavior: hpa.Spec.Behavior, Policy: &v1alpha1.HorizontalPolicy{Schedules: alwaysOpen(2)},
	}})
	eventually(t, 30*time.Second, func() error {
		if got := s.replicas(); got != 2 {
			return fmt.Errorf("%d replicas, want the window's 2", got)
		}
		return nil
	})
	s.fill(60)
	scaler := &v1alpha1.HorizontalScaler{}
	eventually(t, 30*time.Second, func() error {
		s.get(workload, scaler)
		if got := s.replicas(); got != 3 || scaler.Status.DesiredReplicas != 3 || len(scaler.Status.CurrentMetrics) != 1 {
			return fmt.Errorf("%d replicas, want 3; status %+v", got, scaler.Status)
		}
		return nil
	})
	out, err := explain(t, s.lab.Kubeconfig(), "explain", "horizontalscaler", workload, "-n", s.namespace)
	if err != nil || !strings.Contains(out, "HorizontalScaler "+s.namespace+"/"+workload) || !strings.Contains(out, "metric/external") {
		t.Errorf("explain: %v: %s", err, out)
	}
}

// TestHorizontalObjectsRefused: what cannot be right is refused with a message
// that says what to do.
func TestHorizontalObjectsRefused(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	lastDay := alwaysOpen(1)
	lastDay[0].Cron = "0 8 L * *"
	scaler := &v1alpha1.HorizontalScaler{ObjectMeta: s.meta("scaler"), Spec: v1alpha1.HorizontalScalerSpec{
		ScaleTargetRef: s.hpa().Spec.ScaleTargetRef, MinReplicas: ptr.To(int32(5)), MaxReplicas: 2,
	}}
	tests := map[string]struct {
		object ctrlclient.Object
		want   string
	}{
		"fallback": {s.policy("a", v1alpha1.HorizontalPolicy{Fallback: &v1alpha1.Fallback{Policy: v1alpha1.FallbackReplicas}}), "add fallback.replicas"},
		"cron":     {s.policy("b", v1alpha1.HorizontalPolicy{Schedules: lastDay}), "cron must have five fields"},
		"delay":    {s.policy("c", v1alpha1.HorizontalPolicy{UpscaleDelay: &metav1.Duration{Duration: 2 * time.Hour}}), "upscaleDelay must be 1h or shorter"},
		"bounds":   {scaler, "minReplicas must not exceed maxReplicas"},
	}
	for name, tt := range tests {
		if err := s.client.Create(t.Context(), tt.object); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
