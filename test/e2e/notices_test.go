package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
)

// awaitNotice waits until the HPA shows a condition with the reason and the words,
// or, where the reason is empty, until it shows none of the kind.
func (s *stage) awaitNotice(kind autoscalingv2.HorizontalPodAutoscalerConditionType, reason string, words ...string) {
	s.t.Helper()
	eventually(s.t, 2*time.Minute, func() error {
		c := s.hpaCondition(kind)
		if c.Reason != reason {
			return fmt.Errorf("want %s with reason %q: %s", kind, reason, s.hpaConditions())
		}
		for _, word := range words {
			if !strings.Contains(c.Message, word) {
				return fmt.Errorf("%s does not tell of %s: %s", kind, word, c.Message)
			}
		}
		return nil
	})
}

// TestWhatHurtsIsTold has a pod of nobody, a manifest that declares the count, a
// vertical autoscaler and a second HPA stand around one target.
func TestWhatHurtsIsTold(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	cpu := autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name:   corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(50))},
	}}
	stray := &corev1.Pod{ObjectMeta: s.meta("alone"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.com/main"}}}}
	stray.Labels = map[string]string{"app": workload}
	s.create(s.deployment(2), stray, s.hpa(cpu))
	// The stray pod has no requests: counted, it would make the metric fail.
	s.awaitNotice("QuartetStrayPods", "OtherOwner", "nothing", "app="+workload)
	eventually(t, 2*time.Minute, func() error {
		if c := s.hpaCondition(autoscalingv2.ScalingActive); c.Status != corev1.ConditionTrue {
			return fmt.Errorf("the metric is not valid: %s", s.hpaConditions())
		}
		return nil
	})
	if err := s.client.Delete(t.Context(), stray, ctrlclient.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	s.awaitNotice("QuartetStrayPods", "")

	declared := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(3)}}}
	declared.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	declared.SetNamespace(s.namespace)
	declared.SetName(workload)
	err := s.client.Apply(t.Context(), ctrlclient.ApplyConfigurationFromUnstructured(declared), ctrlclient.FieldOwner("gitops"), ctrlclient.ForceOwnership)
	if err != nil {
		t.Fatal(err)
	}
	s.awaitNotice("QuartetReplicasWriter", "OtherFieldManager", "gitops", "Apply")

	vpas := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace)
	if _, err := vpas.Create(t.Context(), s.vpa(vpav1.UpdateModeInitial), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.awaitNotice("QuartetContended", "VerticalSameMetric", workload, "cpu")

	twin := s.hpa(cpu)
	twin.Name = "twin"
	s.create(twin)
	s.awaitNotice("QuartetContended", "SharedTarget", "HorizontalPodAutoscaler twin")
	if err := s.client.Delete(t.Context(), twin); err != nil {
		t.Fatal(err)
	}
	if err := vpas.Delete(t.Context(), workload, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.awaitNotice("QuartetContended", "")
}
