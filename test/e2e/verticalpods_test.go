package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// TestVPAPatchesWholePods: an object without an update policy is given one, the
// API server takes a pod with resources of its own whose containers are raised
// above them, and a memory setting of its runtime follows the limit.
func TestVPAPatchesWholePods(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	client := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace)
	vpa := s.vpa(vpav1.UpdateModeInitial)
	vpa.Spec.UpdatePolicy = nil
	eventually(t, time.Minute, func() error {
		made, err := client.Create(t.Context(), vpa, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		if p := made.Spec.UpdatePolicy; p == nil || p.UpdateMode == nil || *p.UpdateMode != vpav1.UpdateModeRecreate {
			return fmt.Errorf("update policy %v", p)
		}
		return nil
	})
	policy := &v1alpha1.VerticalScalingPolicy{ObjectMeta: s.meta(workload)}
	policy.Spec.TargetRef.Name = workload
	policy.Spec.Runtimes = []v1alpha1.RuntimeSetting{"GoMemLimit"}
	s.create(policy)
	vpa, err := client.Create(t.Context(), s.vpa(vpav1.UpdateModeInitial), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	eventually(t, time.Minute, func() error {
		vpa, err = client.Get(t.Context(), workload, metav1.GetOptions{})
		if err != nil {
			return err
		}
		vpa.Status.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: []vpav1.RecommendedContainerResources{
			{ContainerName: "worker", LowerBound: list("300m", "150Mi"), Target: list("400m", "200Mi"), UpperBound: list("4", "2Gi")},
		}}
		_, err = client.UpdateStatus(t.Context(), vpa, metav1.UpdateOptions{})
		return err
	})
	d := s.deployment(2)
	spec := &d.Spec.Template.Spec
	spec.Resources = &corev1.ResourceRequirements{Requests: list("150m", "120Mi"), Limits: list("150m", "1Gi")}
	spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list("100m", "100Mi"), Limits: list("150m", "100Mi")}
	spec.Containers[0].Env = []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "90MiB"}}
	s.create(d)
	eventually(t, 2*time.Minute, func() error {
		pods := s.pods(workload)
		if len(pods) != 2 {
			return fmt.Errorf("%d pods, want 2", len(pods))
		}
		for _, p := range pods {
			c := p.Spec.Containers[0]
			if got := c.Env[0].Value; c.Resources.Requests.Cpu().Cmp(resource.MustParse("400m")) != 0 || got != "180MiB" {
				return fmt.Errorf("pod %s: %v with GOMEMLIMIT %s", p.Name, c.Resources, got)
			}
			whole := p.Spec.Resources
			if whole.Requests.Cpu().Cmp(*whole.Limits.Cpu()) != 0 || whole.Requests.Cpu().Cmp(resource.MustParse("600m")) != 0 {
				return fmt.Errorf("pod %s as a whole: %v", p.Name, whole)
			}
		}
		return nil
	})
}
