package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// TestUpdaterWaitsForTheWebhook: with the admission webhook away, new pods start
// unpatched and the updater evicts none of them, and says why; once it is back they
// are replaced, and kubectl describe says so.
func TestUpdaterWaitsForTheWebhook(t *testing.T) {
	t.Parallel()
	s := newVPALab(t, "webhook-down")
	release := s.install(map[string]map[string]any{
		"vpaUpdater":   {"extraArgs": []any{"--updater-interval=1s", "--admission-controller-status-lease-timeout=4s"}},
		"vpaAdmission": {"extraArgs": []any{"--status-lease-update-interval=1s"}},
	})
	webhook := release.Process("vpa-admission")
	if err := webhook.Stop(); err != nil {
		t.Fatal(err)
	}
	s.create(s.deployment(2))
	pods := s.running(2)
	s.create(s.vpa(vpav1.UpdateModeRecreate))
	s.recommend(workload, "400m")
	eventually(t, 20*time.Second, func() error {
		out, err := s.lab.Kubectl(t.Context(), "get", "decisions.updater.decisions.quartet.dev", workload, "-n", s.namespace, "-o", "yaml")
		if err == nil && !strings.Contains(out, "AdmissionAway") {
			err = fmt.Errorf("the updater's decision does not say AdmissionAway:\n%s", out)
		}
		return err
	})
	consistently(t, 4*time.Second, func() error { return same(pods, s.pods(workload)) })

	webhook.Start()
	if err := webhook.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() error {
		now := s.pods(workload)
		for _, p := range now {
			if got := p.Spec.Containers[0].Resources.Requests.Cpu(); got.Cmp(resource.MustParse("400m")) != 0 {
				return fmt.Errorf("pod %s asks for %s, want 400m", p.Name, got)
			}
		}
		if len(now) != 2 {
			return fmt.Errorf("%d pods, want 2", len(now))
		}
		return nil
	})
	eventually(t, 10*time.Second, func() error {
		if out := s.describe(workload); !strings.Contains(out, "EvictedPod") {
			return fmt.Errorf("kubectl describe tells of no eviction:\n%s", out)
		}
		return nil
	})
}

// same fails unless just these pods are there.
func same(before, now []corev1.Pod) error {
	want := map[types.UID]bool{}
	for _, p := range before {
		want[p.UID] = true
	}
	for _, p := range now {
		if !want[p.UID] || p.DeletionTimestamp != nil {
			return fmt.Errorf("pod %s is new, or goes", p.Name)
		}
	}
	if len(now) != len(before) {
		return fmt.Errorf("%d pods, want %d", len(now), len(before))
	}
	return nil
}

// recommend writes a recommendation of so much CPU, as a recommender would.
func (s *vpaLab) recommend(name, cpu string) {
	s.t.Helper()
	amount := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	var vpa vpav1.VerticalPodAutoscaler
	s.get(name, &vpa)
	vpa.Status.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: []vpav1.RecommendedContainerResources{
		{ContainerName: "worker", Target: amount, LowerBound: amount, UpperBound: amount, UncappedTarget: amount},
	}}
	vpa.Status.Conditions = []vpav1.VerticalPodAutoscalerCondition{{Type: vpav1.RecommendationProvided, Status: corev1.ConditionTrue}}
	if err := s.client.Status().Update(s.t.Context(), &vpa); err != nil {
		s.t.Fatal(err)
	}
}
