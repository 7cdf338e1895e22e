package estimator

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Conflict tells that a horizontal scaler follows requests that this object
// recommends, and is absent where none does.
const Conflict = "QuartetHPAConflict"

// Reasons of the condition Conflict and of its steps.
const (
	ReasonHorizontalSameMetric = "HorizontalSameMetric"
	// ReasonHorizontalBound: the recommendation is held where it conflicts.
	ReasonHorizontalBound = "HorizontalBound"
	// ReasonNoRequest: there is nothing yet to hold it at.
	ReasonNoRequest = "NoRequest"
	// ReasonKillGoesFirst: a container that is killed for memory needs more.
	ReasonKillGoesFirst = "KillGoesFirst"
)

// Horizontal scales the object's target by the utilization of what its pods
// request.
type Horizontal struct {
	// Kind is HorizontalPodAutoscaler or HorizontalScaler.
	Kind    string     `json:"kind"`
	Name    string     `json:"name"`
	Follows []Followed `json:"follows,omitempty"`
}

// Followed is a resource whose utilization is followed: of one container, or of
// all where none is named.
type Followed struct {
	Resource  string `json:"resource"`
	Container string `json:"container,omitempty"`
}

func (h Horizontal) follows(container, resource string) bool {
	return slices.ContainsFunc(h.Follows, func(f Followed) bool {
		return f.Resource == resource && (f.Container == "" || f.Container == container)
	})
}

// follower names the first scaler that follows what a container requests of a
// resource; empty for none, and where nobody acts on what is recommended.
func (t *turn) follower(container, resource string) string {
	if t.s.VPA.Passive || t.off {
		return ""
	}
	for _, h := range t.s.Horizontals {
		if h.follows(container, resource) {
			return h.Kind + " " + h.Name
		}
	}
	return ""
}

// bounds tells whether the policy has recommendations held where they conflict.
func (t *turn) bounds() bool { return t.s.Policy != nil && t.s.Policy.Bound }

// tellConflict says which scalers follow the requests that are recommended. A
// utilization is a percentage of requests: where these are lowered the scaler adds
// replicas, each of which uses less, so that they are lowered again.
func tellConflict(t *turn) {
	if t.s.VPA.Passive || t.off {
		return
	}
	var said []string
	for _, h := range t.s.Horizontals {
		contested := slices.DeleteFunc(slices.Clone(resources), func(resource string) bool { return !t.contested(h, resource) })
		if len(contested) == 0 {
			continue
		}
		what := strings.Join(contested, " and ")
		said = append(said, fmt.Sprintf("%s %s scales %s %s by the %s utilization, a percentage of the %s requests that this object recommends",
			h.Kind, h.Name, t.s.VPA.Target.Kind, t.s.VPA.Target.Name, what, what))
	}
	if len(said) == 0 {
		return
	}
	reason, remedy := ReasonHorizontalSameMetric,
		"leave the resource out of controlledResources, scale by another metric, or set withHPA: Bound in a VerticalScalingPolicy"
	if t.bounds() {
		reason, remedy = ReasonHorizontalBound, t.s.Policy.Source()+" has withHPA: Bound, so that these requests are held as they are"
	}
	t.conflict = decision.Condition{Type: Conflict, Status: decision.True, Reason: reason, Message: strings.Join(said, "; ") + ": " + remedy}
	t.step(reason, t.conflict.Message)
}

// contested tells whether a scaler follows the resource in any container that it
// is recommended for.
func (t *turn) contested(h Horizontal, resource string) bool {
	return slices.ContainsFunc(t.known(), func(container string) bool {
		p := t.policy(container)
		recommended := !p.Off && (!p.Limited || slices.Contains(p.Controlled, resource))
		return recommended && h.follows(container, resource)
	})
}

// known are the containers of history and of pods, sorted.
func (t *turn) known() []string {
	names := map[string]bool{}
	for name := range t.after.Learned {
		names[name] = true
	}
	for _, pod := range t.s.Pods {
		for name := range pod.Containers {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// span is what is recommended of one resource.
type span struct{ target, lower, upper int64 }

// againstHorizontals holds a recommendation at the requests in force where a
// scaler follows them and the policy says so. The base of the utilization then
// does not move, so that the scaler alone answers to the load; and since no pod is
// out of bounds none is updated for it. What the owner allows goes first, so that
// minAllowed and maxAllowed still move the requests.
func (e *estimation) againstHorizontals(name string, s span) span {
	scaler := e.t.follower(e.container, name)
	if scaler == "" || !e.t.bounds() {
		return s
	}
	in := amountText(name, s.target)
	least, common, most := e.t.requested(e.container, name)
	if common == 0 {
		before, _ := e.t.s.VPA.Recommended.of(e.container)
		kept := before.Target.Of(name)
		if kept == nil {
			e.step(name, s.target, decision.Step{Rule: "conflict/bound", In: in, Reason: ReasonNoRequest,
				Message: "no pod requests any yet, so that " + scaler + " has nothing to follow: recommended once, and held from then on"})
			return s
		}
		least, common, most = *kept, *kept, *kept
	}
	if name == Memory && s.target > common && e.killed() {
		e.step(name, s.target, decision.Step{Rule: "conflict/bound", In: in, Reason: ReasonKillGoesFirst,
			Message: "not held at the requests in force, since it was killed for memory within the interval that runs"})
		return s
	}
	out := span{e.cap(name, common), e.cap(name, min(s.lower, least)), e.cap(name, max(s.upper, most))}
	e.step(name, out.target, decision.Step{Rule: "conflict/bound", In: in, Reason: ReasonHorizontalBound,
		Message: "held at the requests in force, whose utilization " + scaler + " follows"})
	return out
}

// requested gives the least and the most that a container of the pods requests of
// a resource, and what most of them do: of two as many times the higher. All are 0
// where none requests any.
func (t *turn) requested(container, resource string) (least, common, most int64) {
	times := map[int64]int{}
	for _, pod := range t.s.Pods {
		c := pod.Containers[container]
		if request := c.Requests.Of(resource); request != nil && *request > 0 {
			times[*request]++
		}
	}
	for _, request := range slices.Sorted(maps.Keys(times)) {
		if least == 0 {
			least = request
		}
		if times[request] >= times[common] {
			common = request
		}
		most = request
	}
	return least, common, most
}

// killed tells whether the container was killed for memory in an interval that
// runs.
func (e *estimation) killed() bool {
	for _, windows := range e.t.after.Windows {
		if w := windows[e.container]; w.OOMPeak > 0 && e.t.s.Now.Before(w.End) {
			return true
		}
	}
	return false
}
