package resourcepolicy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// limitRanges answers upstream's questions for the combined limits.
type limitRanges resourcepolicy.Limits

func item(b *resourcepolicy.Bounds) *corev1.LimitRangeItem {
	if b == nil {
		return nil
	}
	return &corev1.LimitRangeItem{Min: b.Min, Max: b.Max, Default: b.Default}
}

func (l limitRanges) GetContainerLimitRangeItem(string) (*corev1.LimitRangeItem, error) {
	return item(l.Container), nil
}

func (l limitRanges) GetPodLimitRangeItem(string) (*corev1.LimitRangeItem, error) {
	return item(l.Pod), nil
}

// world draws pods, policies and limits at random.
type world struct{ *rand.Rand }

func (w world) list(least, most int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(least+w.Int64N(most-least), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity((least+w.Int64N(most-least))<<20+w.Int64N(1<<20), resource.BinarySI),
	}
}

func (w world) maybe(least, most int64) corev1.ResourceList {
	if w.IntN(2) == 0 {
		return nil
	}
	l := w.list(least, most)
	switch w.IntN(4) {
	case 0:
		delete(l, corev1.ResourceCPU)
	case 1:
		delete(l, corev1.ResourceMemory)
	}
	return l
}

func (w world) bounds() *resourcepolicy.Bounds {
	if w.IntN(2) == 0 {
		return nil
	}
	return &resourcepolicy.Bounds{Min: w.maybe(1, 300), Max: w.maybe(300, 4000), Default: w.maybe(100, 2000)}
}

func (w world) containers() []resourcepolicy.Container {
	out := make([]resourcepolicy.Container, 1+w.IntN(3))
	for i := range out {
		out[i] = resourcepolicy.Container{Name: fmt.Sprintf("c%d", i), Requests: w.list(10, 1000)}
		switch w.IntN(3) {
		case 0:
			out[i].Limits = w.list(1000, 4000)
		case 1:
			out[i].Limits = out[i].Requests.DeepCopy()
		}
	}
	return out
}

func (w world) policy(containers []resourcepolicy.Container) *vpav1.PodResourcePolicy {
	if w.IntN(3) == 0 {
		return nil
	}
	p := &vpav1.PodResourcePolicy{}
	for _, name := range append(containerNames(containers), "*") {
		if w.IntN(2) == 0 {
			continue
		}
		c := vpav1.ContainerResourcePolicy{ContainerName: name, MinAllowed: w.maybe(1, 500), MaxAllowed: w.maybe(500, 3000)}
		if w.IntN(2) == 0 {
			v := vpav1.ContainerControlledValuesRequestsOnly
			c.ControlledValues = &v
		}
		p.ContainerPolicies = append(p.ContainerPolicies, c)
	}
	return p
}

func containerNames(containers []resourcepolicy.Container) []string {
	var out []string
	for _, c := range containers {
		out = append(out, c.Name)
	}
	return out
}

func (w world) recommendations(containers []resourcepolicy.Container) []resourcepolicy.Recommendation {
	var out []resourcepolicy.Recommendation
	for _, c := range containers {
		out = append(out, resourcepolicy.Recommendation{
			ContainerName: c.Name, LowerBound: w.list(5, 200), Target: w.list(100, 2000), UpperBound: w.list(1000, 6000),
		})
	}
	return out
}

// scenario draws one. With a LimitRange of type Pod every container has bounds,
// since upstream panics otherwise.
func (w world) scenario() (resourcepolicy.Pod, []resourcepolicy.Recommendation) {
	containers := w.containers()
	pod := resourcepolicy.Pod{
		Containers: containers, Policy: w.policy(containers),
		Limits: resourcepolicy.Limits{Container: w.bounds(), Pod: w.bounds()},
	}
	all := w.recommendations(containers)
	if pod.Limits.Pod == nil && len(all) > 1 && w.IntN(3) == 0 {
		all = all[1:]
	}
	return pod, all
}

// same compares lists of resources by value, whatever their form.
var same = cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })

func TestFitAsUpstream(t *testing.T) {
	for seed := range uint64(3000) {
		w := world{rand.New(rand.NewPCG(seed, 7))}
		pod, all := w.scenario()
		object := &corev1.Pod{}
		for _, c := range pod.Containers {
			object.Spec.Containers = append(object.Spec.Containers, corev1.Container{
				Name: c.Name, Resources: corev1.ResourceRequirements{Requests: c.Requests, Limits: c.Limits},
			})
		}
		vpa := &vpav1.VerticalPodAutoscaler{}
		vpa.Spec.ResourcePolicy = pod.Policy
		vpa.Status.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: all}
		// Upstream changes its argument.
		want, notes, err := upstream.NewCappingRecommendationProcessor(limitRanges(pod.Limits)).Apply(vpa.DeepCopy(), object)
		if err != nil {
			t.Fatal(err)
		}
		var got []resourcepolicy.Recommendation
		for _, f := range resourcepolicy.Fit(pod, all) {
			got = append(got, f.Recommendation)
			theirs := notes[f.ContainerName]
			slices.Sort(theirs)
			ours := slices.Sorted(slices.Values(f.Notes))
			if !slices.Equal(theirs, ours) {
				t.Errorf("seed %d: notes of %s are %q, upstream's %q", seed, f.ContainerName, ours, theirs)
			}
		}
		if diff := cmp.Diff(want.ContainerRecommendations, got, same); diff != "" {
			t.Fatalf("seed %d: fitted recommendations (-upstream +ours):\n%s", seed, diff)
		}
	}
}

func TestProportionalLimitsAsUpstream(t *testing.T) {
	for seed := range uint64(3000) {
		w := world{rand.New(rand.NewPCG(seed, 8))}
		c := resourcepolicy.Container{Requests: w.maybe(1, 1000), Limits: w.maybe(1000, 2000)}
		requests, presets := w.maybe(1, 5000), w.maybe(1, 3000)
		if seed%10 == 0 {
			requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("9000000000000"), corev1.ResourceMemory: resource.MustParse("8Ei")}
		}
		want, wantNotes := upstream.GetProportionalLimit(c.Limits, c.Requests, requests, presets)
		got, notes := resourcepolicy.ProportionalLimits(c, requests, presets)
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatalf("seed %d: limits (-upstream +ours):\n%s", seed, diff)
		}
		if !slices.Equal(wantNotes, notes) {
			t.Errorf("seed %d: notes %q, upstream's %q", seed, notes, wantNotes)
		}
	}
}

func TestToPolicyAsUpstream(t *testing.T) {
	for seed := range uint64(1000) {
		w := world{rand.New(rand.NewPCG(seed, 9))}
		pod, all := w.scenario()
		global := w.maybe(300, 3000)
		want, err := upstream.ApplyVPAPolicy(&vpav1.RecommendedPodResources{ContainerRecommendations: all}, pod.Policy, global)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.ContainerRecommendations, resourcepolicy.ToPolicy(all, pod.Policy, global), same); diff != "" {
			t.Fatalf("seed %d: capped recommendations (-upstream +ours):\n%s", seed, diff)
		}
	}
}
