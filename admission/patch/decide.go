package patch

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// rule looks at the pod and may add operations; false ends the decision.
type rule struct {
	name  string
	apply func(*turn) (proceed bool)
}

// rules are asked in this order.
func rules() []rule {
	return []rule{
		// Two writers never: beside another webhook this one patches nothing.
		{"guard/writer", guardWriter},
		// A policy may be more cautious than the binary.
		{"policy/attached", attachedPolicy},
		// The owner says whether new pods are touched.
		{"mode/update", updateMode},
		// Policies and LimitRanges come before what is recommended.
		{"recommendation/fit", fitAll},
		// Each container gets its requests and, in proportion, its limits.
		{"patch/containers", patchContainers},
		// What was done is written on the pod, for people and for the updater.
		{"patch/annotations", annotate},
	}
}

// turn is one decision in the making.
type turn struct {
	s *Snapshot
	d Decision
	// rule is the name of the rule that is asked.
	rule   string
	fitted []resourcepolicy.Fitted
	// updates is what the annotation says of each container.
	updates []string
}

// Decide makes the patch of one pod. It is pure: the same snapshot gives the
// same patch, byte for byte.
func Decide(s Snapshot, _ State) Decision {
	t := &turn{s: &s}
	t.d.Component = Component
	t.d.Unit = decision.Unit{Kind: Kind, Namespace: s.VPA.Namespace, Name: s.VPA.Name, UID: s.VPA.UID}
	t.d.At = s.Now
	t.d.Pod = s.Pod.Name
	for _, r := range rules() {
		t.rule = r.name
		if !r.apply(t) {
			return t.d
		}
	}
	t.conclude()
	return t.d
}

func (t *turn) conclude() {
	t.d.To = len(t.d.Operations)
	t.d.Reason, t.d.Message = ReasonPatched, fmt.Sprintf("pod %s: %s", t.s.Pod.Name, strings.Join(t.updates, "; "))
	switch {
	case t.d.To == 0:
		t.d.Reason, t.d.Message = ReasonUpToDate, fmt.Sprintf("pod %s is as recommended", t.s.Pod.Name)
	case len(t.updates) == 0:
		t.d.Reason, t.d.Message = ReasonNoRecommendation, fmt.Sprintf("pod %s: there is no recommendation for its containers yet", t.s.Pod.Name)
	}
	t.d.Act = t.s.Mode == ModeAuto && t.d.To > 0
	if t.s.Mode != ModeAuto && t.d.To > 0 {
		t.rule = "mode/recommend"
		t.step("", "", "Withheld", "mode Recommend: the patch is shown and not made")
	}
}

func (t *turn) step(in, out, reason, message string) {
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, In: in, Out: out, Reason: reason, Message: message})
}

func (t *turn) stop(reason, message string) bool {
	t.d.Reason, t.d.Message = reason, message
	t.step("", "", reason, message)
	return false
}

func (t *turn) add(path string, value any) {
	t.d.Operations = append(t.d.Operations, Operation{Op: "add", Path: path, Value: value})
}

func guardWriter(t *turn) bool {
	if t.s.Rival == "" {
		return true
	}
	return t.stop(ReasonOtherWriter, t.s.Rival+" is registered: no pod is patched beside it")
}

func updateMode(t *turn) bool {
	if t.s.VPA.UpdateMode != vpav1.UpdateModeOff {
		return true
	}
	return t.stop(ReasonUpdateMode, "updateMode Off: new pods are left alone")
}

func fitAll(t *turn) bool {
	if len(t.s.VPA.Recommendations) == 0 {
		t.step("", "", ReasonNoRecommendation, "there is no recommendation yet")
		return true
	}
	pod := resourcepolicy.Pod{Policy: t.s.VPA.Policy, Limits: t.s.Limits}
	for _, c := range t.s.Pod.Containers {
		pod.Containers = append(pod.Containers, c.Container)
	}
	t.fitted = resourcepolicy.Fit(pod, t.s.VPA.Recommendations)
	for _, f := range t.fitted {
		r := resourcepolicy.Find(t.s.VPA.Recommendations, f.ContainerName)
		if r == nil {
			continue
		}
		from, to := text(r.Target), text(f.Target)
		reason := "AsRecommended"
		if from != to {
			reason = "Capped"
		}
		message := fmt.Sprintf("%s: target %s", f.ContainerName, to)
		if len(f.Notes) > 0 {
			message += " (" + strings.Join(f.Notes, ", ") + ")"
		}
		t.step(from, to, reason, message)
	}
	return true
}

func patchContainers(t *turn) bool {
	for i := range t.s.Pod.Containers {
		t.container(i)
	}
	return true
}

// container adds the operations of one container.
func (t *turn) container(i int) {
	c := &t.s.Pod.Containers[i]
	var requests, limits corev1.ResourceList
	var notes []string
	f := find(t.fitted, c.Name)
	if f != nil {
		requests, notes = f.Target, slices.Clone(f.Notes)
	}
	if f != nil && !resourcepolicy.RequestsOnly(t.s.VPA.Policy, c.Name) {
		var unkept []string
		limits, unkept = resourcepolicy.ProportionalLimits(c.Container, requests, t.s.Limits.Defaults())
		notes = append(notes, unkept...)
	}
	before := len(t.d.Operations)
	if !c.HasResources && changes(c.Requests, requests)+changes(c.Limits, limits) > 0 {
		t.add(path(i), map[string]string{})
	}
	notes = append(notes, t.set(i, list{kind: "requests", has: c.HasRequests, now: c.Requests, want: requests})...)
	notes = append(notes, t.set(i, list{kind: "limits", has: c.HasLimits, now: c.Limits, want: limits})...)
	if len(requests)+len(limits) > 0 {
		t.updates = append(t.updates, fmt.Sprintf("container %d: %s", i, strings.Join(notes, ", ")))
	}
	switch {
	case f == nil:
		t.step("", "", "NoRecommendation", c.Name+": nothing is recommended for it")
	case len(t.d.Operations) > before:
		in, out := resources(c.Requests, c.Limits), resources(over(c.Requests, requests), over(c.Limits, limits))
		t.step(in, out, "Patched", c.Name+": "+strings.Join(notes, ", "))
	default:
		now := resources(c.Requests, c.Limits)
		t.step(now, now, "AsWanted", c.Name+": has what is wanted")
	}
}

// list is the requests or the limits of a container. has tells that the map is
// there.
type list struct {
	kind      string
	has       bool
	now, want corev1.ResourceList
}

// set adds the operations that set one list of a container, and tells what is
// set, as "cpu request".
func (t *turn) set(i int, l list) []string {
	if !l.has && changes(l.now, l.want) > 0 {
		values := map[string]string{}
		for name, q := range l.want {
			values[string(name)] = q.String()
		}
		t.add(path(i)+"/"+l.kind, values)
	}
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(l.want)) {
		notes = append(notes, string(name)+" "+strings.TrimSuffix(l.kind, "s"))
		q := l.want[name]
		if l.has && differs(l.now, name, q.Cmp) {
			t.add(path(i)+"/"+l.kind+"/"+escape(string(name)), q.String())
		}
	}
	return notes
}

func annotate(t *turn) bool {
	names := make([]string, 0, len(t.s.Pod.Containers))
	for _, c := range t.s.Pod.Containers {
		names = append(names, c.Name)
	}
	values := map[string]string{}
	if want := strings.Join(names, ", "); want != t.s.Pod.Observed {
		values[ObservedAnnotation] = want
	}
	if len(t.updates) > 0 {
		if want := "Pod resources updated by " + t.s.VPA.Name + ": " + strings.Join(t.updates, "; "); want != t.s.Pod.Updates {
			values[UpdatesAnnotation] = want
		}
	}
	if len(values) == 0 {
		return true
	}
	if !t.s.Pod.Annotated {
		t.add("/metadata/annotations", values)
		return true
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.add("/metadata/annotations/"+name, values[name])
	}
	return true
}

func find(all []resourcepolicy.Fitted, container string) *resourcepolicy.Fitted {
	for i := range all {
		if all[i].ContainerName == container {
			return &all[i]
		}
	}
	return nil
}

func path(container int) string {
	return "/spec/containers/" + strconv.Itoa(container) + "/resources"
}
