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
