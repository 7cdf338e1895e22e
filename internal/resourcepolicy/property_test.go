package resourcepolicy_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

func cpu(text string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(text)}
}

func recommendationsOf(all []resourcepolicy.Fitted) []resourcepolicy.Recommendation {
	var out []resourcepolicy.Recommendation
	for _, f := range all {
		out = append(out, f.Recommendation)
	}
	return out
}

func TestFittingTwiceChangesNothingMore(t *testing.T) {
	for seed := range uint64(2000) {
		w := world{rand.New(rand.NewPCG(seed, 1))}
		pod, all := w.scenario()
		// Sharing out a pod's sum is rounded, and what the policy then raises counts
		// anew: only the capping of each container is a fixed point.
		pod.Limits.Pod = nil
		once := recommendationsOf(resourcepolicy.Fit(pod, all))
		twice := recommendationsOf(resourcepolicy.Fit(pod, once))
		if diff := cmp.Diff(once, twice, same); diff != "" {
			t.Fatalf("seed %d: (-once +twice):\n%s", seed, diff)
		}
	}
}

func TestPolicyIsObeyedWhateverTheLimitRange(t *testing.T) {
	for seed := range uint64(2000) {
		w := world{rand.New(rand.NewPCG(seed, 2))}
		pod, all := w.scenario()
		for _, f := range resourcepolicy.Fit(pod, all) {
			p := resourcepolicy.ContainerPolicy(pod.Policy, f.ContainerName)
			if p == nil {
				continue
			}
			for name, value := range f.Target {
				if most, ok := p.MaxAllowed[name]; ok && value.Cmp(most) > 0 {
					t.Errorf("seed %d: %s of %s is %s, above maxAllowed %s", seed, name, f.ContainerName, value.String(), most.String())
				}
			}
		}
	}
}

func TestArgumentsAreNotChanged(t *testing.T) {
	for seed := range uint64(300) {
		again := func() (resourcepolicy.Pod, []resourcepolicy.Recommendation) {
			return world{rand.New(rand.NewPCG(seed, 3))}.scenario()
		}
		pod, all := again()
		resourcepolicy.Fit(pod, all)
		resourcepolicy.ToPolicy(all, pod.Policy, cpu("1"))
		wantPod, want := again()
		if diff := cmp.Diff(want, all, same) + cmp.Diff(wantPod, pod, same); diff != "" {
			t.Fatalf("seed %d: changed:\n%s", seed, diff)
		}
	}
}

// Upstream's processor panics on each of these.
func TestPodLimitRangeWithoutBounds(t *testing.T) {
	pod := resourcepolicy.Pod{
		Containers: []resourcepolicy.Container{
			{Name: "app", Requests: cpu("1"), Limits: cpu("2")},
			{Name: "bare", Limits: cpu("1")},
			{Name: "side", Requests: cpu("500m")},
		},
		Limits: resourcepolicy.Limits{Pod: &resourcepolicy.Bounds{Max: cpu("2")}},
	}
	all := []resourcepolicy.Recommendation{
		{ContainerName: "app", LowerBound: cpu("1"), Target: cpu("2"), UpperBound: cpu("4")},
		{ContainerName: "gone", Target: cpu("2")},
	}
	got := recommendationsOf(resourcepolicy.Fit(pod, all))
	want := []resourcepolicy.Recommendation{
		{ContainerName: "app", LowerBound: cpu("1"), Target: cpu("1"), UpperBound: cpu("1")},
		{ContainerName: "side", Target: cpu("250m")},
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("fitted (-want +got):\n%s", diff)
	}
}

func TestCombine(t *testing.T) {
	limits := func(name string, items ...corev1.LimitRangeItem) corev1.LimitRange {
		return corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.LimitRangeSpec{Limits: items}}
	}
	got := resourcepolicy.Combine([]corev1.LimitRange{
		limits("b", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: cpu("1"), Max: cpu("4"), Default: cpu("3")}),
		limits("a", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: cpu("2"), Max: cpu("5"), Default: cpu("2")},
			corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: cpu("8")},
			corev1.LimitRangeItem{Type: corev1.LimitTypePersistentVolumeClaim, Max: cpu("1")}),
	})
	want := resourcepolicy.Limits{
		Container: &resourcepolicy.Bounds{Min: cpu("2"), Max: cpu("4"), Default: cpu("3")},
		Pod:       &resourcepolicy.Bounds{Max: cpu("8")},
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("combined (-want +got):\n%s", diff)
	}
	if none := resourcepolicy.Combine(nil); none.Container != nil || none.Pod != nil {
		t.Errorf("no LimitRange gives %v", none)
	}
}
