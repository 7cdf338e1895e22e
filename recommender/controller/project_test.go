package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// TestBoundsAreRoundedUp: a bound that is smaller than a container can request
// must not become none.
func TestBoundsAreRoundedUp(t *testing.T) {
	got := projectPolicy(&vpav1.ContainerResourcePolicy{
		ContainerName: "app",
		MinAllowed:    corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("300u"), corev1.ResourceMemory: resource.MustParse("100m")},
		MaxAllowed:    corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500u"), corev1.ResourceMemory: resource.MustParse("1500m")},
	})
	want := estimator.Policy{
		Container: "app",
		Min:       estimator.Amounts{CPU: pointer(1), Memory: pointer(1)},
		Max:       estimator.Amounts{CPU: pointer(2), Memory: pointer(2)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("projectPolicy (-want +got):\n%s", diff)
	}
}

// TestReduceVPAKeepsNothingTwice: what is the same in a recommendation is held once,
// and what is not is left as it is.
func TestReduceVPAKeepsNothingTwice(t *testing.T) {
	amounts := func(cpu string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	v := vpa("orders")
	v.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "kept": "yes"}
	v.Status.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: []vpav1.RecommendedContainerResources{
		{ContainerName: "app", Target: amounts("1"), UncappedTarget: amounts("1")},
		{ContainerName: "proxy", Target: amounts("1"), UncappedTarget: amounts("2")},
	}}
	want := v.DeepCopy()
	delete(want.Annotations, corev1.LastAppliedConfigAnnotation)
	got, err := reduceVPA(v)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reduceVPA (-want +got):\n%s", diff)
	}
	app := v.Status.Recommendation.ContainerRecommendations[0]
	app.Target["marked"] = resource.MustParse("1")
	if _, shared := app.UncappedTarget["marked"]; !shared {
		t.Error("the uncapped target, which is the same, is held a second time")
	}
}
