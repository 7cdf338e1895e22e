package patch_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	theirs "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/patch"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/recommendation"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

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

// scenario is a new pod and the object that scales it.
type scenario struct {
	pod    *corev1.Pod
	vpa    *vpav1.VerticalPodAutoscaler
	limits resourcepolicy.Limits
}

func list(r *rand.Rand, least, most int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(least+r.Int64N(most-least), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity((least+r.Int64N(most-least))<<20+r.Int64N(1<<20), resource.BinarySI),
	}
}

func some(r *rand.Rand, least, most int64) corev1.ResourceList {
	l := list(r, least, most)
	switch r.IntN(5) {
	case 0:
		return nil
	case 1:
		delete(l, corev1.ResourceCPU)
	case 2:
		delete(l, corev1.ResourceMemory)
	}
	return l
}

func draw(seed uint64, withLimits bool) scenario {
	r := rand.New(rand.NewPCG(seed, 5))
	s := scenario{pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}, vpa: &vpav1.VerticalPodAutoscaler{}}
	s.vpa.Namespace, s.vpa.Name = "shop", "web"
	s.vpa.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{}
	s.vpa.Status.Recommendation = &vpav1.RecommendedPodResources{}
	if r.IntN(2) == 0 {
		s.pod.Annotations = map[string]string{"a/b": "c"}
	}
	for i := range 1 + r.IntN(3) {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "web"}
		c.Resources.Requests = some(r, 10, 1000)
		if r.IntN(2) == 0 {
			c.Resources.Limits = some(r, 1000, 3000)
		}
		s.pod.Spec.Containers = append(s.pod.Spec.Containers, c)
		if r.IntN(5) > 0 {
			s.vpa.Status.Recommendation.ContainerRecommendations = append(s.vpa.Status.Recommendation.ContainerRecommendations,
				vpav1.RecommendedContainerResources{ContainerName: c.Name, LowerBound: list(r, 5, 100), Target: list(r, 100, 2000), UpperBound: list(r, 2000, 4000)})
		}
		p := vpav1.ContainerResourcePolicy{ContainerName: c.Name}
		if r.IntN(3) == 0 {
			p.MaxAllowed = some(r, 300, 1500)
		}
		if r.IntN(3) == 0 {
			only := vpav1.ContainerControlledValuesRequestsOnly
			p.ControlledValues = &only
		}
		s.vpa.Spec.ResourcePolicy.ContainerPolicies = append(s.vpa.Spec.ResourcePolicy.ContainerPolicies, p)
	}
	if withLimits && r.IntN(2) == 0 {
		s.limits.Container = &resourcepolicy.Bounds{Min: some(r, 1, 200), Max: some(r, 500, 3000), Default: some(r, 200, 2000)}
	}
	return s
}

func (s scenario) snapshot(pod *corev1.Pod) patch.Snapshot {
	return patch.Snapshot{
		Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Mode: patch.ModeAuto, Limits: s.limits, Pod: patch.Of(pod, pod.Name),
		VPA: patch.VPA{
			Namespace: "shop", Name: "web", UpdateMode: vpav1.UpdateModeRecreate,
			Policy: s.vpa.Spec.ResourcePolicy, Recommendations: s.vpa.Status.Recommendation.ContainerRecommendations,
		},
	}
}

// apply gives the pod after a JSON patch.
func apply(t testing.TB, pod *corev1.Pod, operations any) *corev1.Pod {
	t.Helper()
	document, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(operations)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != "null" {
		p, err := jsonpatch.DecodePatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		if document, err = p.Apply(document); err != nil {
			t.Fatalf("apply %s to %s: %v", raw, document, err)
		}
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(document, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func upstreamPod(t *testing.T, s scenario) *corev1.Pod {
	t.Helper()
	provider := recommendation.NewProvider(limitRanges(s.limits), upstream.NewCappingRecommendationProcessor(limitRanges(s.limits)))
	calculators := []theirs.Calculator{
		theirs.NewResourceUpdatesCalculator(provider, resource.QuantityValue{}), theirs.NewObservedContainersCalculator(),
	}
	var all []any
	if s.pod.Annotations == nil {
		all = append(all, theirs.GetAddEmptyAnnotationsPatch())
	}
	for _, c := range calculators {
		records, err := c.CalculatePatches(s.pod.DeepCopy(), s.vpa.DeepCopy())
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			all = append(all, record)
		}
	}
	return apply(t, s.pod, all)
}

// normal orders what upstream writes in the order of a map, and drops what it
// writes on containers that it does not touch.
func normal(pod *corev1.Pod) *corev1.Pod {
	head, rest, ok := strings.Cut(pod.Annotations[patch.UpdatesAnnotation], ": ")
	if !ok {
		return pod
	}
	var kept []string
	for part := range strings.SplitSeq(rest, "; ") {
		container, notes, _ := strings.Cut(part, ": ")
		if notes == "" {
			continue
		}
		all := strings.Split(notes, ", ")
		slices.Sort(all)
		kept = append(kept, container+": "+strings.Join(all, ", "))
	}
	delete(pod.Annotations, patch.UpdatesAnnotation)
	if len(kept) > 0 {
		pod.Annotations[patch.UpdatesAnnotation] = head + ": " + strings.Join(kept, "; ")
	}
	return pod
}

var same = cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })

func TestPodAfterThePatchAsUpstream(t *testing.T) {
	patched := 0
	for seed := range uint64(1500) {
		s := draw(seed, true)
		d := patch.Decide(s.snapshot(s.pod), patch.State{})
		patched += d.To
		got := normal(apply(t, s.pod, d.Operations))
		want := normal(upstreamPod(t, s))
		if diff := cmp.Diff(want.Annotations, got.Annotations) + cmp.Diff(want.Spec.Containers, got.Spec.Containers, same); diff != "" {
			t.Fatalf("seed %d: (-upstream +ours):\n%s", seed, diff)
		}
	}
	if patched == 0 {
		t.Error("no scenario patched anything")
	}
}

func TestPatchingTwiceChangesNothingMore(t *testing.T) {
	for seed := range uint64(2000) {
		s := draw(seed, false)
		once := apply(t, s.pod, patch.Decide(s.snapshot(s.pod), patch.State{}).Operations)
		if again := patch.Decide(s.snapshot(once), patch.State{}); again.To != 0 {
			t.Fatalf("seed %d: patched again: %v", seed, again.Operations)
		}
	}
}
