package eviction

import (
	"fmt"
	"maps"
	"slices"
	"time"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// plan is how a pod is to be updated.
type plan struct {
	// changes are those of a resize; none means an eviction.
	changes []resize.Change
	// unbounded and orEvict are the candidate's.
	unbounded, orEvict bool
	// below tells that the pod's group is too small for an eviction, and let
	// through for a resize that restarts nothing.
	below bool
	// kept tells which memory is not lowered, and why.
	kept string
	// candidate is what the pod became, nil where nothing can be done now.
	candidate *Candidate
}

// done is the word for what becomes of the pod.
func (p *plan) done() string {
	if len(p.changes) > 0 {
		return "resized"
	}
	return "evicted"
}

// Resizes tells whether an update mode resizes pods in place.
func Resizes(mode vpav1.UpdateMode) bool {
	return mode == vpav1.UpdateModeInPlaceOrRecreate || mode == vpav1.UpdateModeInPlace
}

// follow notes how far the resizes of all pods are, wanted or not.
func (t *turn) follow() {
	for _, name := range slices.Sorted(maps.Keys(t.s.Pods)) {
		pod := t.s.Pods[name]
		key := podKey(name, pod)
		if known, ok := t.state.Infeasible[key]; ok && !inForce(pod, known) {
			t.recordInfeasible(key, known)
		}
		if len(pod.Refused) > 0 {
			t.recordInfeasible(key, pod.Refused)
		}
		if pod.Resize == nil {
			continue
		}
		var before *resize.Attempt
		if a, known := t.state.Attempts[key]; known {
			before = &a
		}
		asked := ""
		if pod.Spec != nil {
			asked = pod.Spec.Text()
		}
		if t.attempts == nil {
			t.attempts = map[string]resize.Attempt{}
		}
		t.attempts[key] = pod.Resize.Follow(before, asked, t.s.Now)
	}
}

func (t *turn) recordInfeasible(key string, targets Targets) {
	if t.infeasible == nil {
		t.infeasible = map[string]Targets{}
	}
	t.infeasible[key] = targets
}

// inForce tells whether the pod runs with at least the targets, so that there is
// room for them after all.
func inForce(pod Pod, targets Targets) bool {
	if pod.Resize != nil {
		return false
	}
	for _, c := range pod.Containers {
		for name, target := range targets[c.Name] {
			if has, ok := c.Requests[name]; !ok || has.Cmp(target) < 0 {
				return false
			}
		}
	}
	return true
}

// resizing decides between a resize and an eviction, and waits for a resize that
// is under way.
func resizing(t *turn, p *judged) bool {
	switch t.s.VPA.UpdateMode {
	case vpav1.UpdateModeInPlace:
		return t.neverEvict(p)
	case vpav1.UpdateModeInPlaceOrRecreate:
		if p.pod.Pending {
			t.step(0, "PodPending", fmt.Sprintf("%s: %s; a pending pod is not resized", p.name, p.why))
			return false
		}
		if p.pod.Resize == nil {
			return t.resizeFirst(p)
		}
		return t.givenUp(p) && t.mayEvict(p)
	}
	return p.pod.Pending || p.pod.Resize == nil || t.givenUp(p)
}

// givenUp tells whether the pod's resize failed or takes too long, so that the pod
// may be evicted.
func (t *turn) givenUp(p *judged) bool {
	s, a := *p.pod.Resize, t.attempts[p.key()]
	if s.GivenUp(a, t.s.Now) {
		p.why = fmt.Sprintf("%s; its resize of %s is %s%s", p.why, clockTime(a.Since), s.State, said(s.Message))
		return true
	}
	until, _ := s.Until(a)
	p.next = until
	t.waiting++
	t.step(0, "Resize"+string(s.State), fmt.Sprintf("%s: %s; its resize is %s since %s%s, and after %s it may be evicted",
		p.name, p.why, s.State, clockTime(a.Since), said(s.Message), until.Format(time.RFC3339)))
	return false
}

// mayEvict tells whether the pod's group is large enough for an eviction.
func (t *turn) mayEvict(p *judged) bool {
	if !p.below || t.surging(p) {
		return true
	}
	t.tooFew(p)
	return false
}

// resizeFirst plans a resize, and an eviction where it is refused.
func (t *turn) resizeFirst(p *judged) bool {
	spec, changes := t.changes(p)
	if len(changes) == 0 {
		t.nothingLeft(p)
		return false
	}
	if now, then := spec.Class(p.pod.Containers, changes); now != then {
		p.why = fmt.Sprintf("%s; no resize may turn its QoS class %s into %s", p.why, now, then)
		return t.mayEvict(p)
	}
	p.changes, p.orEvict = changes, !p.below
	p.unbounded = t.s.Config.SkipBudget && !spec.Restarts
	return true
}

// neverEvict plans a resize that no eviction follows. As upstream, it is asked
// for again while one is under way, and without regard to the group's budget.
func (t *turn) neverEvict(p *judged) bool {
	key := p.key()
	if before, known := t.infeasible[key]; known && !t.lower(before, p) {
		t.step(0, "InfeasibleBefore", fmt.Sprintf("%s: %s; its node could not have room for no more than this, and nothing is recommended that is less", p.name, p.why))
		t.d.Skipped = append(t.d.Skipped, PodRef{Name: p.name, UID: p.pod.UID})
		return false
	}
	if s := p.pod.Resize; s != nil && s.State == resize.Infeasible {
		t.recordInfeasible(key, targetsOf(t.s.VPA.Recommendations))
	}
	spec, changes := t.changes(p)
	switch now, then := spec.Class(p.pod.Containers, changes); {
	case len(changes) == 0 && p.pod.Resize != nil:
		s := *p.pod.Resize
		if _, waits := s.Until(t.attempts[key]); waits {
			t.waiting++
		}
		t.step(0, "Resize"+string(s.State), fmt.Sprintf("%s: %s; its resize is %s since %s%s, and the mode never evicts",
			p.name, p.why, s.State, clockTime(t.attempts[key].Since), said(s.Message)))
	case len(changes) == 0:
		t.nothingLeft(p)
	case now != then:
		t.step(0, "QoSWouldChange", fmt.Sprintf("%s: %s; no resize may turn its QoS class %s into %s, and the mode never evicts", p.name, p.why, now, then))
	default:
		p.changes, p.unbounded = changes, true
		return true
	}
	return false
}

// changes are those that would give the pod what is wanted.
func (t *turn) changes(p *judged) (resize.Spec, []resize.Change) {
	spec := resize.Spec{}
	if p.pod.Spec != nil {
		spec = *p.pod.Spec
	}
	w := resize.Wanted{Fitted: p.fitted, Policy: t.s.VPA.Policy, Presets: t.s.Limits.Defaults()}
	changes := t.keepMemory(p, w.Changes(p.pod.Containers, spec))
	if p.kept != "" && len(changes) > 0 {
		p.why += "; " + p.kept
	}
	return spec, changes
}

// asked notes that the pod's spec asks for what is wanted already.
func (t *turn) asked(p *judged) {
	t.waiting++
	t.step(0, "ResizeAsked", fmt.Sprintf("%s: %s; its spec asks for that already, and the kubelet has not taken it up", p.name, p.why))
}

// lower tells whether anything is recommended that is less than before, as it is
// and as policy and LimitRanges let it be.
func (t *turn) lower(before Targets, p *judged) bool {
	return below(before, t.s.VPA.Recommendations) && below(before, p.fitted)
}

func below(before Targets, all []resourcepolicy.Recommendation) bool {
	for i := range all {
		for name, was := range before[all[i].ContainerName] {
			if q, ok := all[i].Target[name]; ok && q.Cmp(was) < 0 {
				return true
			}
		}
	}
	return false
}

func targetsOf(all []resourcepolicy.Recommendation) Targets {
	out := Targets{}
	for i := range all {
		out[all[i].ContainerName] = all[i].Target
	}
	return out
}

// said quotes what the kubelet said of a resize.
func said(message string) string {
	if message == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", message)
}
