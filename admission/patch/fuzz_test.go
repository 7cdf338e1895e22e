package patch_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/admission/runtimes"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

// What FuzzDecide switches on, by bits.
const (
	boosts = 1 << iota
	sidecars
	follow
	inStep
)

// FuzzDecide takes any pod, object and limits, and any of what is switched on: the
// patch applies to the pod as the API server sends it, changes nothing but
// resources and annotations, edits only what is there, and is the same for the
// snapshot after JSON.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(20) {
		s, _ := boosted(seed)
		if seed%2 == 0 {
			s = levelled(seed)
		}
		pod, _ := json.Marshal(s.pod)
		vpa, _ := json.Marshal(s.vpa)
		limits, _ := json.Marshal(s.limits)
		f.Add(pod, vpa, limits, byte(seed))
	}
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","resources":{"claims":[{"name":"gpu"}]}}]}}`),
		[]byte(`{"status":{"recommendation":{"containerRecommendations":[{"containerName":"a","target":{"":"1","x/y~z":"1","cpu":"1e30"}}]}}}`),
		[]byte(`{"pod":{"max":{"cpu":"1"},"min":{"memory":"1Gi"}}}`), byte(0))
	f.Add([]byte(`{"metadata":{"annotations":{"vpaCpuStartupBoost/a":"{\"requests\":{\"cpu\":\"1\"}}"}},"spec":{"containers":[{"name":"a","env":[{"name":"GOMEMLIMIT","value":"1GiB"}],"args":["-Xmx1g -Xms1g"],"resources":{"requests":{"memory":"1Gi"},"limits":{"memory":"2Gi"}}}]}}`),
		[]byte(`{"spec":{"startupBoost":{"cpu":{"factor":3}}},"status":{"recommendation":{"containerRecommendations":[{"containerName":"a","target":{"memory":"3Gi"}}]}}}`),
		[]byte(`{}`), byte(boosts|inStep))
	f.Fuzz(func(t *testing.T, podJSON, vpaJSON, limitsJSON []byte, on byte) {
		pod, vpa, limits := &corev1.Pod{}, &vpav1.VerticalPodAutoscaler{}, resourcepolicy.Limits{}
		if json.Unmarshal(podJSON, pod) != nil || json.Unmarshal(vpaJSON, vpa) != nil || json.Unmarshal(limitsJSON, &limits) != nil {
			t.Skip()
		}
		var kinds []runtimes.Kind
		if on&inStep != 0 {
			kinds = []runtimes.Kind{runtimes.GoMemLimit, runtimes.JVMHeap}
		}
		s := patch.Snapshot{
			Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Mode: patch.ModeAuto, Limits: limits, Pod: patch.Of(pod, "web", kinds...),
			Gates: features.Gates{CPUStartupBoost: on&boosts != 0}, Sidecars: on&sidecars != 0, FollowPodLevel: on&follow != 0,
			VPA: patch.VPA{Name: "web", UpdateMode: vpav1.UpdateModeRecreate, Policy: vpa.Spec.ResourcePolicy, StartupBoost: vpa.Spec.StartupBoost},
		}
		if r := vpa.Status.Recommendation; r != nil {
			s.VPA.Recommendations = r.ContainerRecommendations
		}
		d := patch.Decide(s, patch.State{})
		unchanged(t, pod, apply(t, pod, d.Operations))
		for _, e := range d.Edits {
			if e.From == e.To || !strings.Contains(string(podJSON), "GOMEMLIMIT") && !strings.HasPrefix(e.From, "-X") {
				t.Errorf("edit %+v", e)
			}
		}
		decidedAgain(t, s, d)
	})
}

// unchanged requires that a patch changed nothing but resources and annotations.
func unchanged(t *testing.T, pod, after *corev1.Pod) {
	t.Helper()
	before, now := pod.DeepCopy(), after.DeepCopy()
	for _, p := range []*corev1.Pod{before, now} {
		p.Annotations = nil
		for _, all := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
			for i := range all {
				all[i].Resources.Requests, all[i].Resources.Limits = nil, nil
			}
		}
		if r := p.Spec.Resources; r != nil {
			r.Requests, r.Limits = nil, nil
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
