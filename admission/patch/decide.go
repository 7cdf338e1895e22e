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
		// While it starts, a container may have more CPU.
		{"startup/boost", boostAll},
		// Each container gets its requests and, in proportion, its limits.
		{"patch/containers", patchContainers},
		// Settings of runtimes follow the memory limit where the owner wants it.
		{"patch/runtimes", patchRuntimes},
		// The pod as a whole must have room for its containers.
		{"patch/pod", patchPod},
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
	// parts are the containers that may be patched.
	parts []part
	// updates is what the annotation says of each container.
	updates []string
	// anew is set where a container that says it was boosted is not as a boost
	// would have left it.
	anew bool
}

// part is a container that may be patched.
type part struct {
	*Container
	// was is the container as its owner wrote it: before a boost.
	was resourcepolicy.Container
	// path is where the container is, and label what the annotation calls it.
	path, label string
	// boost is the container's startup boost; nil where it has none.
	boost *boost
	// requests and limits are what the container has after the patch.
	requests, limits corev1.ResourceList
}

// Decide makes the patch of one pod. It is pure: the same snapshot gives the
// same patch, byte for byte.
func Decide(s Snapshot, _ State) Decision {
	t := decide(s, true)
	if t.anew {
		t = decide(s, false)
	}
	return t.d
}

// decide makes the patch. believe tells to take annotations of a boost at their
// word: the API server may ask twice about one pod.
func decide(s Snapshot, believe bool) *turn {
	t := &turn{s: &s}
	t.d.Component = Component
	t.d.Unit = decision.Unit{Kind: Kind, Namespace: s.VPA.Namespace, Name: s.VPA.Name, UID: s.VPA.UID}
	t.d.At = s.Now
	t.d.Pod = s.Pod.Name
	t.parts = partsOf(&s, believe)
	for _, r := range rules() {
		t.rule = r.name
		if !r.apply(t) {
			return t
		}
	}
	t.conclude()
	return t
}

func partsOf(s *Snapshot, believe bool) []part {
	out := make([]part, 0, len(s.Pod.Containers))
	add := func(c *Container, kind, label string, i int) {
		p := part{Container: c, was: c.Container, requests: c.Requests, limits: c.Limits}
		p.path, p.label = "/spec/"+kind+"/"+strconv.Itoa(i), label+" "+strconv.Itoa(i)
		if believe && s.Gates.CPUStartupBoost {
			p.was = beforeBoost(c)
		}
		out = append(out, p)
	}
	for i := range s.Pod.Containers {
		add(&s.Pod.Containers[i], "containers", "container", i)
	}
	for i := range s.Pod.Init {
		if s.Sidecars && s.Pod.Init[i].Sidecar {
			add(&s.Pod.Init[i], "initContainers", "init container", i)
		}
	}
	return out
}

func (t *turn) conclude() {
	t.d.To = len(t.d.Operations) + len(t.d.Edits)
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
	if t.s.VPA.boosts() {
		t.step("", "", ReasonUpdateMode, "updateMode Off: new pods get nothing but a startup boost")
		return true
	}
	return t.stop(ReasonUpdateMode, "updateMode Off: new pods are left alone")
}

func fitAll(t *turn) bool {
	if t.s.VPA.UpdateMode == vpav1.UpdateModeOff {
		return true
	}
	if len(t.s.VPA.Recommendations) == 0 {
		t.step("", "", ReasonNoRecommendation, "there is no recommendation yet")
		return true
	}
	pod := resourcepolicy.Pod{Policy: t.s.VPA.Policy, Limits: t.s.Limits}
	for i := range t.parts {
		pod.Containers = append(pod.Containers, t.parts[i].was)
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
	for i := range t.parts {
		t.container(&t.parts[i])
	}
	return true
}

// container adds the operations of one container.
func (t *turn) container(p *part) {
	if t.s.Gates.CPUStartupBoost && resourcepolicy.Off(t.s.VPA.Policy, p.Name) {
		t.step("", "", "ScalingModeOff", p.Name+": its policy's mode is Off")
		return
	}
	requests, limits, notes := t.wanted(p)
	c, before := p.Container, len(t.d.Operations)
	p.requests, p.limits = over(c.Requests, requests), over(c.Limits, limits)
	if !c.HasResources && changes(c.Requests, requests)+changes(c.Limits, limits) > 0 {
		t.add(p.path+"/resources", map[string]string{})
	}
	notes = append(notes, t.set(list{kind: "requests", path: p.path, has: c.HasRequests, now: c.Requests, want: requests})...)
	notes = append(notes, t.set(list{kind: "limits", path: p.path, has: c.HasLimits, now: c.Limits, want: limits})...)
	if len(requests)+len(limits) > 0 {
		t.updates = append(t.updates, p.label+": "+strings.Join(notes, ", "))
	}
	now := resources(c.Requests, c.Limits)
	switch {
	case len(requests)+len(limits) == 0:
		t.step("", "", "NoRecommendation", c.Name+": nothing is recommended for it")
	case len(t.d.Operations) > before:
		t.anew = t.anew || p.boosted()
		t.step(now, resources(p.requests, p.limits), "Patched", c.Name+": "+strings.Join(notes, ", "))
	default:
		t.step(now, now, "AsWanted", c.Name+": has what is wanted")
	}
}

// wanted is what a container is to request and be limited to.
func (t *turn) wanted(p *part) (requests, limits corev1.ResourceList, notes []string) {
	if f := find(t.fitted, p.Name); f != nil {
		requests, notes = f.Target, slices.Clone(f.Notes)
		if !resourcepolicy.RequestsOnly(t.s.VPA.Policy, p.Name) {
			var unkept []string
			limits, unkept = resourcepolicy.ProportionalLimits(p.was, requests, t.s.Limits.Defaults())
			notes = append(notes, unkept...)
		}
	}
	if p.boost != nil {
		requests, limits = p.boost.over(requests, limits)
	}
	return requests, limits, notes
}

// list is the requests or the limits of what is at path. has tells that the map is
// there.
type list struct {
	kind, path string
	has        bool
	now, want  corev1.ResourceList
}

// set adds the operations that set one list, and tells what is set, as "cpu
// request".
func (t *turn) set(l list) []string {
	at := l.path + "/resources/" + l.kind
	if !l.has && changes(l.now, l.want) > 0 {
		values := map[string]string{}
		for name, q := range l.want {
			values[string(name)] = q.String()
		}
		t.add(at, values)
	}
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(l.want)) {
		notes = append(notes, string(name)+" "+strings.TrimSuffix(l.kind, "s"))
		q := l.want[name]
		if l.has && differs(l.now, name, q.Cmp) {
			t.add(at+"/"+escape(string(name)), q.String())
		}
	}
	return notes
}

func annotate(t *turn) bool {
	names := make([]string, 0, len(t.s.Pod.Containers))
	for _, c := range t.s.Pod.Containers {
		names = append(names, c.Name)
	}
	values := t.boostNotes()
	if want := strings.Join(names, ", "); want != t.s.Pod.Observed {
		values[ObservedAnnotation] = want
	}
	if len(t.updates) > 0 {
		want := "Pod resources updated by " + t.s.VPA.Name + ": " + strings.Join(t.updates, "; ")
		// Asked again, the pod as a whole has the room that it was given.
		if want != t.s.Pod.Updates && !strings.HasPrefix(t.s.Pod.Updates, want+podNote) {
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
		t.add("/metadata/annotations/"+escape(name), values[name])
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
