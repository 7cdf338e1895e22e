package resize_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/recommendation"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/inplace"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/resize"
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

// scenario is a pod that runs and the object that scales it.
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

func requirements(r *rand.Rand) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{Requests: some(r, 10, 1000)}
	switch r.IntN(3) {
	case 0:
		out.Limits = some(r, 1000, 3000)
	case 1:
		out.Limits = out.Requests.DeepCopy()
	}
	return out
}

// draw gives a pod some of whose containers run with other resources than its
// spec asks for.
func draw(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 7))
	s := scenario{pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "uid-web"}}, vpa: &vpav1.VerticalPodAutoscaler{}}
	s.vpa.Namespace, s.vpa.Name = "shop", "web"
	s.vpa.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{}
	s.vpa.Status.Recommendation = &vpav1.RecommendedPodResources{}
	for i := range 1 + r.IntN(3) {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "web", Resources: requirements(r)}
		if r.IntN(3) > 0 {
			inForce := c.Resources.DeepCopy()
			if r.IntN(2) == 0 {
				*inForce = requirements(r)
			}
			s.pod.Status.ContainerStatuses = append(s.pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Resources: inForce})
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
	if r.IntN(2) == 0 {
		s.limits.Container = &resourcepolicy.Bounds{Min: some(r, 1, 200), Max: some(r, 500, 3000), Default: some(r, 200, 2000)}
	}
	if r.IntN(3) == 0 {
		s.pod.Spec.InitContainers = []corev1.Container{{Name: "init", Resources: requirements(r)}}
	}
	return s
}

// inForce is a pod's containers as the kubelet reports them.
func inForce(pod *corev1.Pod) []resourcepolicy.Container {
	var out []resourcepolicy.Container
	for _, c := range pod.Spec.Containers {
		in := resourcepolicy.Container{Name: c.Name, Requests: c.Resources.Requests, Limits: c.Resources.Limits}
		for _, status := range pod.Status.ContainerStatuses {
			if status.Name == c.Name {
				in.Requests, in.Limits = status.Resources.Requests, status.Resources.Limits
			}
		}
		out = append(out, in)
	}
	return out
}

func (s scenario) changes(pod *corev1.Pod) []resize.Change {
	containers := inForce(pod)
	w := resize.Wanted{Policy: s.vpa.Spec.ResourcePolicy, Presets: s.limits.Defaults()}
	for _, f := range resourcepolicy.Fit(resourcepolicy.Pod{Containers: containers, Policy: w.Policy, Limits: s.limits}, s.vpa.Status.Recommendation.ContainerRecommendations) {
		w.Fitted = append(w.Fitted, f.Recommendation)
	}
	return w.Changes(containers, resize.SpecOf(pod, containers))
}

// ours is the pod after our patch.
func ours(t *testing.T, pod *corev1.Pod, changes []resize.Change) *corev1.Pod {
	t.Helper()
	if len(changes) == 0 {
		return pod
	}
	body, err := resize.Patch(string(pod.UID), changes)
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := strategicpatch.StrategicMergePatch(document, body, corev1.Pod{})
	if err != nil {
		t.Fatalf("apply %s: %v", body, err)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(patched, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// theirs is the pod after upstream's patch.
func theirs(t *testing.T, s scenario) *corev1.Pod {
	t.Helper()
	provider := recommendation.NewProvider(limitRanges(s.limits), upstream.NewCappingRecommendationProcessor(limitRanges(s.limits)))
	records, err := inplace.NewResourceInPlaceUpdatesCalculator(provider).CalculatePatches(s.pod.DeepCopy(), s.vpa.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	p, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(s.pod)
	if err != nil {
		t.Fatal(err)
	}
	if document, err = p.Apply(document); err != nil {
		t.Fatalf("apply %s: %v", raw, err)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(document, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// options compare by value: an empty list is none.
var options = cmp.Options{
	cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 }),
	cmp.Transformer("nil", func(l corev1.ResourceList) map[corev1.ResourceName]resource.Quantity {
		if len(l) == 0 {
			return nil
		}
		return l
	}),
}

// TestPodAfterTheResizeAsUpstream resizes pods with upstream's code and with ours.
func TestPodAfterTheResizeAsUpstream(t *testing.T) {
	changed := 0
	for seed := range uint64(1500) {
		s := draw(seed)
		changes := s.changes(s.pod)
		changed += len(changes)
		if diff := cmp.Diff(theirs(t, s).Spec.Containers, ours(t, s.pod, changes).Spec.Containers, options); diff != "" {
			t.Fatalf("seed %d: (-upstream +ours):\n%s", seed, diff)
		}
	}
	if changed == 0 {
		t.Error("no scenario changed anything")
	}
}

// TestResizingTwiceChangesNothingMore asks again, before the kubelet did as it was
// told, and after it where no LimitRange looks at the new limits.
func TestResizingTwiceChangesNothingMore(t *testing.T) {
	for seed := range uint64(1500) {
		s := draw(seed)
		if seed%2 == 0 {
			s.limits = resourcepolicy.Limits{}
		} else {
			s.pod.Status.ContainerStatuses = nil
			for _, c := range s.pod.Spec.Containers {
				s.pod.Status.ContainerStatuses = append(s.pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Resources: c.Resources.DeepCopy()})
			}
		}
		pod := ours(t, s.pod, s.changes(s.pod))
		if again := s.changes(pod); len(again) > 0 {
			t.Fatalf("seed %d: asked again for %s", seed, resize.Describe(again))
		}
	}
}

// TestClassAsKubernetes compares the QoS classes before and after a resize with
// what Kubernetes computes.
func TestClassAsKubernetes(t *testing.T) {
	turned := map[string]int{}
	for seed := range uint64(3000) {
		s := draw(seed)
		changes := s.changes(s.pod)
		spec := resize.SpecOf(s.pod, inForce(s.pod))
		now, then := spec.Class(inForce(s.pod), changes)
		wantNow, wantThen := qos.ComputePodQOS(s.pod), qos.ComputePodQOS(ours(t, s.pod, changes))
		if now != wantNow || then != wantThen {
			t.Fatalf("seed %d: from %s to %s, Kubernetes has %s to %s", seed, now, then, wantNow, wantThen)
		}
		turned[string(now)+" to "+string(then)]++
	}
	for _, want := range []string{"Guaranteed to Burstable", "BestEffort to Burstable", "Burstable to Burstable", "Guaranteed to Guaranteed"} {
		if turned[want] == 0 {
			t.Errorf("no scenario turned %s: %v", want, turned)
		}
	}
}

// TestClassIsTheAPIServersWhereItIsNotKnown: a pod whose class does not follow from
// its containers is left to the API server.
func TestClassIsTheAPIServersWhereItIsNotKnown(t *testing.T) {
	containers := []resourcepolicy.Container{{Name: "app"}}
	changes := []resize.Change{{Container: "app", Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}
	for name, spec := range map[string]resize.Spec{
		"resources of the pod": {QOS: corev1.PodQOSBestEffort, PodLevel: true},
		"another class":        {QOS: corev1.PodQOSGuaranteed},
	} {
		if now, then := spec.Class(containers, changes); now != then {
			t.Errorf("%s: from %s to %s", name, now, then)
		}
	}
}
