package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// verticalPolicy is one for the stage's VPA.
func (s *stage) verticalPolicy(name string, spec v1alpha1.VerticalScalingPolicySpec) *v1alpha1.VerticalScalingPolicy {
	spec.TargetRef.Name = workload
	return &v1alpha1.VerticalScalingPolicy{ObjectMeta: s.meta(name), Spec: spec}
}

// awaitVPA waits until the stage's VPA is as a test wants it.
func (s *stage) awaitVPA(limit time.Duration, wants func(*vpav1.VerticalPodAutoscaler) error) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		v, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Get(s.t.Context(), workload, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return wants(v)
	})
}

// tells wants a condition with a reason and a text in its message.
func tells(v *vpav1.VerticalPodAutoscaler, kind, reason, text string) error {
	for _, c := range v.Status.Conditions {
		if string(c.Type) == kind && c.Reason == reason && strings.Contains(c.Message, text) {
			return nil
		}
	}
	return fmt.Errorf("want %s %s with %q, conditions are %v", kind, reason, text, v.Status.Conditions)
}

// TestVerticalPolicy: a VPA is told of an HPA on the same CPU; a policy has it hold
// that CPU where it is, so that the two do not fight; a second policy waits; and
// mode Off leaves the VPA alone. All of it under the chart's permissions.
func TestVerticalPolicy(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	hpa := s.hpa(autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(80))},
	}})
	hpa.Spec.MaxReplicas = 2
	s.create(s.deployment(1), hpa)
	err := s.lab.SetUsage(t.Context(), lab.Usage{
		Namespace: s.namespace, Selector: labels.SelectorFromSet(labels.Set{"app": workload}),
		CPU: resource.MustParse("800m"), Memory: resource.MustParse("300Mi"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Create(t.Context(), s.vpa(vpav1.UpdateModeInitial), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	target := func(v *vpav1.VerticalPodAutoscaler) (int64, error) {
		if v.Status.Recommendation == nil || len(v.Status.Recommendation.ContainerRecommendations) != 1 {
			return 0, fmt.Errorf("no recommendation yet, conditions %v", v.Status.Conditions)
		}
		return v.Status.Recommendation.ContainerRecommendations[0].Target.Cpu().MilliValue(), nil
	}
	s.awaitVPA(4*time.Minute, func(v *vpav1.VerticalPodAutoscaler) error {
		if cpu, err := target(v); err != nil || cpu < 800 {
			return fmt.Errorf("the target is %dm, %v", cpu, err)
		}
		return tells(v, estimator.Conflict, estimator.ReasonHorizontalSameMetric, "HorizontalPodAutoscaler "+workload)
	})

	calm := s.verticalPolicy("calm", v1alpha1.VerticalScalingPolicySpec{WithHPA: v1alpha1.WithHPABound})
	s.create(calm)
	// The pods request 100m, or what an earlier recommendation made of them.
	s.awaitVPA(2*time.Minute, func(v *vpav1.VerticalPodAutoscaler) error {
		requests := map[int64]bool{}
		for _, p := range s.pods(workload) {
			requests[p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()] = true
		}
		if cpu, err := target(v); err != nil || !requests[cpu] {
			return fmt.Errorf("the target is %dm beside requests of %v: %v", cpu, requests, err)
		}
		return tells(v, estimator.Conflict, estimator.ReasonHorizontalBound, "VerticalScalingPolicy calm")
	})
	s.create(s.verticalPolicy("zz-second", v1alpha1.VerticalScalingPolicySpec{}))
	for name, reason := range map[string]string{"calm": "Attached", "zz-second": "OlderPolicyHolds"} {
		eventually(t, 20*time.Second, func() error {
			p := &v1alpha1.VerticalScalingPolicy{}
			s.get(name, p)
			c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAttached)
			if c == nil || c.Reason != reason || c.ObservedGeneration != p.Generation {
				return fmt.Errorf("Attached of %s is %+v, want %s", name, c, reason)
			}
			return nil
		})
	}
	out, err := explain(t, s.lab.Kubeconfig(), "explain", "vpa", workload, "-n", s.namespace)
	if err != nil || !strings.Contains(out, "Policy:   VerticalScalingPolicy calm") || !strings.Contains(out, "Conflict: HorizontalPodAutoscaler "+workload) {
		t.Errorf("explain vpa: %v\n%s", err, out)
	}

	eventually(t, 10*time.Second, func() error {
		s.get("calm", calm)
		calm.Spec.Mode = v1alpha1.ModeOff
		return s.client.Update(t.Context(), calm)
	})
	s.awaitVPA(30*time.Second, func(v *vpav1.VerticalPodAutoscaler) error {
		return tells(v, estimator.Policed, estimator.ReasonPolicyOff, "VerticalScalingPolicy calm")
	})
}
