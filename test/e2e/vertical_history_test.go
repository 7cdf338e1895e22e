package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// memoryTarget is what the object recommends for memory; 0 is nothing.
func (s *stage) memoryTarget(name string) int64 {
	s.t.Helper()
	v, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if v.Status.Recommendation == nil || len(v.Status.Recommendation.ContainerRecommendations) == 0 {
		return 0
	}
	return v.Status.Recommendation.ContainerRecommendations[0].Target.Memory().Value()
}

// checkpointed is what the checkpoint of a VPA has beside upstream's fields.
func (s *stage) checkpointed(name string) string {
	s.t.Helper()
	found, err := s.vpas().AutoscalingV1().VerticalPodAutoscalerCheckpoints(s.namespace).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range found.Items {
		if c.Spec.VPAObjectName == name {
			return c.Annotations["autoscaling.quartet.dev/history"]
		}
	}
	return ""
}

// TestKilledForMemoryIsNotForgotten: a kill for memory is answered and written at
// once, outlives the pod and a kill -9 of the recommender, and goes over to a VPA of
// another name. Not parallel: the other tests share the recommender.
func TestKilledForMemoryIsNotForgotten(t *testing.T) {
	s := newStage(t, suite.lab)
	s.create(s.deployment(1))
	err := s.lab.SetUsage(t.Context(), lab.Usage{
		Namespace: s.namespace, Selector: labels.SelectorFromSet(labels.Set{"app": workload}),
		CPU: resource.MustParse("100m"), Memory: resource.MustParse("400Mi"),
	})
	if err != nil {
		t.Fatal(err)
	}
	vpas := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace)
	if _, err := vpas.Create(t.Context(), s.vpa(vpav1.UpdateModeOff), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 4*time.Minute, func() error {
		if s.memoryTarget(workload) < 400<<20 || s.checkpointed(workload) == "" {
			return fmt.Errorf("the memory's target is %d, the checkpoint holds %q", s.memoryTarget(workload), s.checkpointed(workload))
		}
		return nil
	})
	before := s.memoryTarget(workload)

	pod := s.pods(workload)[0]
	pod.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		Reason: "OOMKilled", ExitCode: 137, FinishedAt: metav1.Now(),
	}
	if err := s.client.Status().Update(t.Context(), &pod); err != nil {
		t.Fatal(err)
	}
	const reaction = 20 * time.Second
	eventually(t, reaction, func() error {
		if !strings.Contains(s.checkpointed(workload), "oomPeak") || s.memoryTarget(workload) < before+100<<20 {
			return fmt.Errorf("the memory's target is %d after the kill, was %d", s.memoryTarget(workload), before)
		}
		return nil
	})
	raised := s.memoryTarget(workload)

	process := suite.release.Process("vpa-recommender")
	restarts := process.Restarts()
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Delete(t.Context(), &pod); err != nil {
		t.Fatal(err)
	}
	renamed := s.vpa(vpav1.UpdateModeOff)
	renamed.Name = "renamed"
	if _, err := vpas.Create(t.Context(), renamed, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := vpas.Delete(t.Context(), workload, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 4*time.Minute, func() error {
		if got := s.memoryTarget("renamed"); got < raised || process.Restarts() <= restarts || s.checkpointed("renamed") == "" {
			return fmt.Errorf("the memory's target is %d after %d restarts, was %d", got, process.Restarts()-restarts, raised)
		}
		return nil
	})
}
