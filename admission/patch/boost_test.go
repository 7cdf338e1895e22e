package patch_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	theirs "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/patch"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/recommendation"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	upstreamfeatures "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/features"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// gated switches upstream's gate on for a test.
func gated(t *testing.T) {
	t.Helper()
	if err := upstreamfeatures.MutableFeatureGate.Set("CPUStartupBoost=true"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := upstreamfeatures.MutableFeatureGate.Set("CPUStartupBoost=false"); err != nil {
			t.Fatal(err)
		}
	})
}

func drawBoost(r *rand.Rand) *vpav1.StartupBoost {
	seconds := r.Int32N(100)
	b := &vpav1.GenericStartupBoost{Type: vpav1.FactorStartupBoostType, DurationSeconds: &seconds}
	switch r.IntN(5) {
	case 0:
		return nil
	case 1:
		b.Type, b.Quantity = vpav1.QuantityStartupBoostType, resource.NewMilliQuantity(r.Int64N(3000), resource.DecimalSI)
	case 2:
		// One that cannot be read.
		zero := int32(0)
		b.Factor = []*int32{nil, &zero}[r.IntN(2)]
		if r.IntN(4) > 0 {
			return nil
		}
	default:
		factor := 1 + r.Int32N(5)
		b.Factor = &factor
		if r.IntN(3) == 0 {
			b.Type = ""
		}
	}
	return &vpav1.StartupBoost{CPU: b}
}

// boosted draws a scenario with startup boosts, and the most that they may ask for.
func boosted(seed uint64) (s scenario, most *resource.Quantity) {
	s = draw(seed, true)
	r := rand.New(rand.NewPCG(seed, 6))
	s.vpa.Spec.StartupBoost = drawBoost(r)
	policies := s.vpa.Spec.ResourcePolicy.ContainerPolicies
	for i := range policies {
		if r.IntN(3) == 0 {
			policies[i].StartupBoost = drawBoost(r)
		}
		if r.IntN(8) == 0 {
			off := vpav1.ContainerScalingModeOff
			policies[i].Mode = &off
		}
	}
	if r.IntN(3) == 0 {
		off := vpav1.UpdateModeOff
		s.vpa.Spec.UpdatePolicy = &vpav1.PodUpdatePolicy{UpdateMode: &off}
	}
	if r.IntN(3) == 0 {
		most = resource.NewMilliQuantity(500+r.Int64N(3000), resource.DecimalSI)
	}
	// A container without a limit that a LimitRange gives one: see the test below.
	if s.limits.Container != nil {
		s.limits.Container.Default = nil
	}
	return s, most
}

func (s scenario) boostSnapshot(pod *corev1.Pod, most *resource.Quantity) patch.Snapshot {
	out := s.snapshot(pod)
	out.Gates.CPUStartupBoost, out.MaxBoost, out.VPA.StartupBoost = true, most, s.vpa.Spec.StartupBoost
	out.VPA.UpdateMode = upstream.GetUpdateMode(s.vpa)
	return out
}

// upstreamBoosted is the pod as upstream's webhook would have it made.
func upstreamBoosted(t *testing.T, s scenario, most *resource.Quantity) *corev1.Pod {
	t.Helper()
	if upstream.GetUpdateMode(s.vpa) == vpav1.UpdateModeOff && !upstream.HasStartupBoost(s.vpa) {
		return apply(t, s.pod, nil)
	}
	limit := resource.QuantityValue{}
	if most != nil {
		limit.Quantity = *most
	}
	provider := recommendation.NewProvider(limitRanges(s.limits), upstream.NewCappingRecommendationProcessor(limitRanges(s.limits)))
	var all []any
	if s.pod.Annotations == nil {
		all = append(all, theirs.GetAddEmptyAnnotationsPatch())
	}
	for _, c := range []theirs.Calculator{theirs.NewResourceUpdatesCalculator(provider, limit), theirs.NewObservedContainersCalculator()} {
		records, err := c.CalculatePatches(s.pod.DeepCopy(), s.vpa.DeepCopy())
		if err != nil {
			// The whole pod is admitted as it was sent.
			return apply(t, s.pod, nil)
		}
		for _, record := range records {
			all = append(all, record)
		}
	}
	return apply(t, s.pod, all)
}

func TestStartupBoostAsUpstream(t *testing.T) {
	gated(t)
	raised := 0
	for seed := range uint64(1500) {
		s, most := boosted(seed)
		d := patch.Decide(s.boostSnapshot(s.pod, most), patch.State{})
		for _, step := range d.Steps {
			if step.Reason == "Boosted" {
				raised++
			}
		}
		got, want := normal(apply(t, s.pod, d.Operations)), normal(upstreamBoosted(t, s, most))
		if diff := cmp.Diff(want.Annotations, got.Annotations) + cmp.Diff(want.Spec.Containers, got.Spec.Containers, same); diff != "" {
			t.Fatalf("seed %d: (-upstream +ours):\n%s", seed, diff)
		}
	}
	if raised < 500 {
		t.Errorf("only %d containers were boosted", raised)
	}
}

func TestBoostingTwiceChangesNothingMore(t *testing.T) {
	for seed := range uint64(1500) {
		s, most := boosted(seed)
		s.limits.Container = nil
		once := apply(t, s.pod, patch.Decide(s.boostSnapshot(s.pod, most), patch.State{}).Operations)
		if again := patch.Decide(s.boostSnapshot(once, most), patch.State{}); again.To != 0 {
			t.Fatalf("seed %d: patched again: %v", seed, again.Operations)
		}
	}
}

// Upstream's patch makes this pod request more than its limit, which the API
// server refuses.
func TestBoostStaysWithinTheLimitOfALimitRange(t *testing.T) {
	s := draw(1, false)
	s.pod.Spec.Containers = []corev1.Container{{Name: "app"}}
	cpu := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m")}
	s.pod.Spec.Containers[0].Resources.Requests = cpu
	s.vpa.Status.Recommendation.ContainerRecommendations = []vpav1.RecommendedContainerResources{{ContainerName: "app", Target: cpu}}
	s.vpa.Spec.ResourcePolicy = nil
	factor := int32(10)
	s.vpa.Spec.StartupBoost = &vpav1.StartupBoost{CPU: &vpav1.GenericStartupBoost{Type: vpav1.FactorStartupBoostType, Factor: &factor}}
	s.limits.Container = &resourcepolicy.Bounds{Default: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("400m")}}
	after := apply(t, s.pod, patch.Decide(s.boostSnapshot(s.pod, nil), patch.State{}).Operations).Spec.Containers[0].Resources
	if after.Requests.Cpu().Cmp(resource.MustParse("2")) != 0 || after.Limits.Cpu().Cmp(resource.MustParse("2")) != 0 {
		t.Errorf("boosted to %v", after)
	}
}

// Upstream's webhook panics on a boost without CPU, which its validation allows.
func TestEmptyBoostIsNone(t *testing.T) {
	s := draw(7, false)
	s.vpa.Spec.StartupBoost = &vpav1.StartupBoost{}
	with := patch.Decide(s.boostSnapshot(s.pod, nil), patch.State{})
	s.vpa.Spec.StartupBoost = nil
	without := patch.Decide(s.boostSnapshot(s.pod, nil), patch.State{})
	if diff := cmp.Diff(without.Operations, with.Operations); diff != "" {
		t.Errorf("(-without +with):\n%s", diff)
	}
}
