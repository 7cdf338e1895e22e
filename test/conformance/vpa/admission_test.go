package vpa

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	upstreampod "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod"
	upstreampatch "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/patch"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/recommendation"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/limitrange"
	vpautil "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/admission/webhook"
)

// playAdmission lets both patch a few new pods.
func playAdmission(t *testing.T, s scenario) result {
	t.Helper()
	r := newResult()
	d := draw{Rand: rand.New(rand.NewPCG(s.seed, 22)), seen: r.seen, skipped: r.skipped, gates: s.gates}
	length := s.turns
	if length == 0 {
		length = 6
	}
	options := webhook.NewOptions()
	if s.gates {
		switchOn(t, options.Features)
	}
	for r.turns < length && len(r.differences) == 0 {
		r.turns++
		v := d.review()
		v.options = options
		compareReview(t, v, &r)
	}
	return r
}

func compareReview(t *testing.T, v review, r *result) {
	t.Helper()
	mine, err := v.ours()
	if err != nil {
		t.Fatal(err)
	}
	theirs, panicked, err := v.theirs()
	switch {
	case err != nil:
		t.Fatal(err)
	case panicked:
		// Upstream's webhook drops the connection, and the pod is made as it is.
		r.explained[headingPanic]++
		if !v.limited() || !v.lacks() {
			r.differences = append(r.differences, "upstream panics for another reason than listed")
			r.world = v.describe()
		}
		return
	}
	if !cmp.Equal(v.pod.Annotations, theirs.Annotations) {
		r.seen["patched"]++
	}
	claimsExplained(v.pod, theirs, r)
	v.nothingExplained(theirs, mine, r)
	v.inventedExplained(theirs, mine, r)
	notesExplained(v.pod, theirs, mine, r)
	if diff := cmp.Diff(theirs, mine, sameQuantity, emptyIsNone); diff != "" {
		r.differences = append(r.differences, diff)
		r.world = v.describe()
	}
}

func (v review) describe() string {
	raw, err := json.MarshalIndent(map[string]any{"pod": v.pod, "vpa": v.vpa, "limits": v.limits}, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(raw) + "\n"
}

func (v review) limited() bool {
	return slices.ContainsFunc(v.limits, func(l corev1.LimitRange) bool {
		return slices.ContainsFunc(l.Spec.Limits, func(i corev1.LimitRangeItem) bool { return i.Type == corev1.LimitTypePod })
	})
}

// lacks tells whether a container has no recommendation, or one of a part: without
// bounds or without a resource.
func (v review) lacks() bool {
	return slices.ContainsFunc(v.pod.Spec.Containers, func(c corev1.Container) bool {
		r := vpautil.GetRecommendationForContainer(c.Name, v.vpa.Status.Recommendation)
		return r == nil || r.LowerBound == nil || r.UpperBound == nil || len(r.Target) < 2
	})
}

// emptyIsNone makes no difference between a list with nothing in it and none.
var emptyIsNone = cmp.Transformer("list", func(l corev1.ResourceList) map[corev1.ResourceName]resource.Quantity {
	if len(l) == 0 {
		return nil
	}
	return l
})

// ours is the pod after this suite's webhook.
func (v review) ours() (*corev1.Pod, error) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	view := webhook.View{Options: v.options}
	d := patch.Decide(view.Snapshot(now, v.vpa.DeepCopy(), v.pod.DeepCopy(), v.limits), patch.State{})
	return patched(v.pod, view.Operations(d, v.pod.DeepCopy()))
}

// GetMatchingVPA gives the object to upstream, unless it is Off.
func (v review) GetMatchingVPA(context.Context, *corev1.Pod) *vpav1.VerticalPodAutoscaler {
	if vpautil.GetUpdateMode(v.vpa) == vpav1.UpdateModeOff && !vpautil.HasStartupBoost(v.vpa) {
		return nil
	}
	return v.vpa.DeepCopy()
}

// theirs is the pod after upstream's: its handler of pods, with its calculators,
// its capping, and its view of LimitRanges.
func (v review) theirs() (pod *corev1.Pod, panicked bool, err error) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	for i := range v.limits {
		if err := factory.Core().V1().LimitRanges().Informer().GetIndexer().Add(&v.limits[i]); err != nil {
			return nil, false, err
		}
	}
	calculator, err := limitrange.NewLimitsRangeCalculator(factory)
	if err != nil {
		return nil, false, err
	}
	provider := recommendation.NewProvider(calculator, vpautil.NewCappingRecommendationProcessor(calculator))
	handler := upstreampod.NewResourceHandler(upstreampod.NewDefaultPreProcessor(), v, []upstreampatch.Calculator{
		upstreampatch.NewResourceUpdatesCalculator(provider, resource.QuantityValue{}), upstreampatch.NewObservedContainersCalculator(),
	})
	defer func() {
		panicked = recover() != nil
	}()
	raw, err := json.Marshal(v.pod)
	if err != nil {
		return nil, false, err
	}
	operations, _, errs := handler.GetPatches(context.Background(), &admissionv1.AdmissionRequest{
		Namespace: namespace, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw},
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
	})
	if len(errs) > 0 {
		return nil, false, errs.ToAggregate()
	}
	pod, err = patched(v.pod, operations)
	return pod, false, err
}

// patched is the pod after a JSON patch.
func patched(pod *corev1.Pod, operations any) (*corev1.Pod, error) {
	document, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(operations)
	if err != nil {
		return nil, err
	}
	if string(raw) != "null" {
		p, err := jsonpatch.DecodePatch(raw)
		if err != nil {
			return nil, err
		}
		if document, err = p.Apply(document); err != nil {
			return nil, fmt.Errorf("apply %s to %s: %w", raw, document, err)
		}
	}
	out := &corev1.Pod{}
	return out, json.Unmarshal(document, out)
}

// claimsExplained gives back the claims that upstream wipes.
func claimsExplained(before, theirs *corev1.Pod, r *result) {
	for i := range theirs.Spec.Containers {
		had := before.Spec.Containers[i].Resources
		if c := &theirs.Spec.Containers[i].Resources; len(had.Claims) > 0 && len(c.Claims) == 0 && had.Requests == nil && had.Limits == nil {
			c.Claims = had.Claims
			r.explained[headingClaims]++
		}
	}
}

// nothingExplained takes over what ours leaves where nothing at all is recommended:
// with a LimitRange for pods upstream then sets what the pod has, made to fit.
func (v review) nothingExplained(theirs, mine *corev1.Pod, r *result) {
	recommended := v.vpa.Status.Recommendation
	if !v.limited() || recommended == nil || len(recommended.ContainerRecommendations) > 0 || vpautil.GetUpdateMode(v.vpa) == vpav1.UpdateModeOff {
		return
	}
	r.explained[headingPanic]++
	theirs.Spec.Containers = mine.Spec.Containers
	delete(theirs.Annotations, patch.UpdatesAnnotation)
	if updates, noted := mine.Annotations[patch.UpdatesAnnotation]; noted {
		theirs.Annotations[patch.UpdatesAnnotation] = updates
	}
}

// inventedExplained takes away what upstream sets of a resource that nothing is
// recommended of, where a LimitRange for pods makes it count as zero.
func (v review) inventedExplained(theirs, mine *corev1.Pod, r *result) {
	if !v.limited() {
		return
	}
	for i := range theirs.Spec.Containers {
		c, before := &theirs.Spec.Containers[i], v.pod.Spec.Containers[i].Resources
		// Without a recommendation upstream takes what the container requests for one.
		target := before.Requests
		if recommended := vpautil.GetRecommendationForContainer(c.Name, v.vpa.Status.Recommendation); recommended != nil {
			target = recommended.Target
		}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if _, given := target[name]; given {
				continue
			}
			changed := putBack(&c.Resources.Requests, before.Requests, name)
			changed = putBack(&c.Resources.Limits, before.Limits, name) || changed
			for _, pod := range []*corev1.Pod{theirs, mine} {
				if updates, noted := pod.Annotations[patch.UpdatesAnnotation]; noted {
					pod.Annotations[patch.UpdatesAnnotation] = withoutNotes(updates, i, string(name)+" ", string(name)+":")
					changed = changed || pod == theirs && pod.Annotations[patch.UpdatesAnnotation] != updates
				}
			}
			if changed {
				r.explained[headingPanic]++
				// With a limit that it invents, upstream also notes why it sets no other.
				for _, pod := range []*corev1.Pod{theirs, mine} {
					if updates, noted := pod.Annotations[patch.UpdatesAnnotation]; noted {
						pod.Annotations[patch.UpdatesAnnotation] = withoutNotes(updates, i, "cpu: limit NOT set", "memory: limit NOT set")
					}
				}
			}
		}
	}
}

// putBack restores one value, and tells whether it was another.
func putBack(list *corev1.ResourceList, before corev1.ResourceList, name corev1.ResourceName) bool {
	old, had := before[name]
	now, has := (*list)[name]
	switch {
	case had == has && now.Cmp(old) == 0:
		return false
	case had:
		(*list)[name] = old
	default:
		delete(*list, name)
	}
	return true
}

// withoutNotes drops the notes on a container that begin in one of some ways.
func withoutNotes(updates string, container int, beginnings ...string) string {
	parts := strings.Split(updates, "; ")
	for i, part := range parts {
		at := strings.Index(part, fmt.Sprintf("container %d: ", container))
		if at < 0 {
			continue
		}
		head, notes, _ := strings.Cut(part[at:], ": ")
		kept := slices.DeleteFunc(strings.Split(notes, ", "), func(n string) bool {
			return slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(n, b) })
		})
		parts[i] = part[:at] + head + ": " + strings.Join(kept, ", ")
	}
	return strings.Join(parts, "; ")
}

// notesExplained orders what upstream writes in the order of a map, and drops its
// notes on containers that it sets nothing for.
func notesExplained(before, theirs, mine *corev1.Pod, r *result) {
	const annotation = patch.UpdatesAnnotation
	up, our := theirs.Annotations[annotation], mine.Annotations[annotation]
	// What is noted of nothing replaces what was noted before, upstream only.
	empty := ordered(up) == "" && our == before.Annotations[annotation]
	if up == our || !empty && ordered(up) != ordered(our) {
		return
	}
	r.explained[headingNotes]++
	if our == "" {
		delete(theirs.Annotations, annotation)
		return
	}
	theirs.Annotations[annotation] = our
}

func ordered(updates string) string {
	head, rest, ok := strings.Cut(updates, ": ")
	if !ok {
		return updates
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
	if len(kept) == 0 {
		return ""
	}
	return head + ": " + strings.Join(kept, "; ")
}
