package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestRecommendersStepsAreToldByContainer: the recommender's real rules word
// their steps in the way that they are parted by.
func TestRecommendersStepsAreToldByContainer(t *testing.T) {
	cpu, memory := int64(100), int64(1<<28)
	rules := estimator.Rules()
	series := estimator.Estimates{Target: 0.9, Lower: 0.5, Upper: 0.95, Confidence: 24 * time.Hour, HalfLife: 24 * time.Hour, Round: 1}
	s := estimator.Snapshot{
		Now: noon, Mode: estimator.ModeAuto,
		Config: estimator.Config{
			Margin: 0.15, MinCPUMillicores: 25, MinMemoryMb: 250, CPU: series, Memory: series,
			PeakInterval: 24 * time.Hour, PeakIntervals: 8, OOMRatio: 1.2, OOMBytes: 1e8,
		},
		VPA: estimator.VPA{Namespace: "shop", Name: "web", Target: estimator.Target{Kind: "Deployment", Name: "web"}},
		Pods: map[string]estimator.Pod{"web-1": {Sampled: noon, Containers: map[string]estimator.Container{
			"app": {Usage: estimator.Amounts{CPU: &cpu, Memory: &memory}},
		}}},
	}
	d := rules.Decide(s, estimator.State{})
	general, own := byContainer(d.Steps)
	for _, s := range general {
		if strings.HasPrefix(s.Rule, "target/p") || strings.HasPrefix(s.Rule, "bound/") {
			t.Errorf("the step %s is not told as one of a container: %q", s.Rule, s.Message)
		}
	}
	told := map[string]int{}
	for _, row := range own {
		told[row[0]+" "+row[1]]++
	}
	if told["app cpu"] < 4 || told["app memory"] < 4 || len(told) != 2 {
		t.Errorf("steps by container: %v, of %v", told, d.Steps)
	}
}

// TestUpdatersStepsAreToldByPod: so do the updater's.
func TestUpdatersStepsAreToldByPod(t *testing.T) {
	amounts := func(cpu string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	pod := func(cpu string) eviction.Pod {
		return eviction.Pod{Group: "ReplicaSet/web", Started: noon.Add(-time.Hour),
			Containers: []resourcepolicy.Container{{Name: "app", Requests: amounts(cpu)}}}
	}
	s := eviction.Snapshot{
		Now: noon, Mode: eviction.ModeAuto,
		Config: eviction.Config{Tolerance: 0.5, MinReplicas: 2, UpdateThreshold: 0.1, PodLifetime: 12 * time.Hour},
		Pods:   map[string]eviction.Pod{"web-1": pod("30m"), "web-2": pod("40m"), "web-3": pod("200m")},
		Groups: map[string]eviction.Group{"ReplicaSet/web": {Replicas: 3, Counted: true}},
	}
	s.VPA.Namespace, s.VPA.Name, s.VPA.UpdateMode = "shop", "web", "Recreate"
	s.VPA.Recommendations = []resourcepolicy.Recommendation{{
		ContainerName: "app", Target: amounts("200m"), LowerBound: amounts("100m"), UpperBound: amounts("400m"),
	}}
	d := eviction.Rules().Decide(s, eviction.State{})
	detail := struct {
		Results []eviction.Result `json:"results"`
	}{[]eviction.Result{{Pod: "web-1", Error: "no room"}}}
	rendered := v1alpha1.Render(d.Decision, decision.Outcome{Result: decision.Failed}, detail)
	verdicts, general := podVerdicts(&rendered)
	got := map[string]string{}
	for name, v := range verdicts {
		got[name] = v.Verdict
		if strings.HasPrefix(v.Message, name) {
			t.Errorf("the message on %s begins with its name: %q", name, v.Message)
		}
	}
	if diff := cmp.Diff(map[string]string{"web-1": "refused", "web-2": "ToleranceReached", "web-3": "CloseToTarget"}, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s\nof %v", diff, d.Steps)
	}
	if len(general) > 0 {
		t.Errorf("steps about pods are told as general: %v", general)
	}
}
