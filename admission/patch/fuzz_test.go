package patch_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// FuzzDecide takes any pod, object and limits: the patch applies to the pod as
// the API server sends it, changes nothing but resources and annotations, and is
// the same for the snapshot after JSON.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(20) {
		s := draw(seed, true)
		pod, _ := json.Marshal(s.pod)
		vpa, _ := json.Marshal(s.vpa)
		limits, _ := json.Marshal(s.limits)
		f.Add(pod, vpa, limits)
	}
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","resources":{"claims":[{"name":"gpu"}]}}]}}`),
		[]byte(`{"status":{"recommendation":{"containerRecommendations":[{"containerName":"a","target":{"":"1","x/y~z":"1","cpu":"1e30"}}]}}}`),
		[]byte(`{"pod":{"max":{"cpu":"1"},"min":{"memory":"1Gi"}}}`))
	f.Fuzz(func(t *testing.T, podJSON, vpaJSON, limitsJSON []byte) {
		pod, vpa, limits := &corev1.Pod{}, &vpav1.VerticalPodAutoscaler{}, resourcepolicy.Limits{}
		if json.Unmarshal(podJSON, pod) != nil || json.Unmarshal(vpaJSON, vpa) != nil || json.Unmarshal(limitsJSON, &limits) != nil {
			t.Skip()
		}
		s := patch.Snapshot{
			Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Mode: patch.ModeAuto, Limits: limits, Pod: patch.Of(pod, "web"),
			VPA: patch.VPA{Name: "web", UpdateMode: vpav1.UpdateModeRecreate, Policy: vpa.Spec.ResourcePolicy},
		}
		if r := vpa.Status.Recommendation; r != nil {
			s.VPA.Recommendations = r.ContainerRecommendations
		}
		d := patch.Decide(s, patch.State{})
		after := apply(t, pod, d.Operations)
		before, now := pod.DeepCopy(), after.DeepCopy()
		for _, p := range []*corev1.Pod{before, now} {
			p.Annotations = nil
			for i := range p.Spec.Containers {
				p.Spec.Containers[i].Resources.Requests, p.Spec.Containers[i].Resources.Limits = nil, nil
			}
		}
		var plain corev1.Pod
		raw, err := json.Marshal(before)
		if err == nil {
			err = json.Unmarshal(raw, &plain)
		}
		if err != nil {
			t.Skip()
		}
		if diff := cmp.Diff(plain.Spec, now.Spec, same); diff != "" {
			t.Errorf("the patch changed more than resources:\n%s", diff)
		}
		decidedAgain(t, s, d)
	})
}

// decidedAgain decides on the snapshot as a ledger would give it back.
func decidedAgain(t *testing.T, s patch.Snapshot, d patch.Decision) {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back patch.Snapshot
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	first, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(patch.Decide(back, patch.State{}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("decided otherwise after JSON:\n%s", diff)
	}
}
