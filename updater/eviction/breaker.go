package eviction

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// ReasonBreakerOpen is the reason of a decision while a breaker holds updates.
const ReasonBreakerOpen = "BreakerOpen"

// Breaker is what is remembered of the evictions of one object's pods. Empty and
// absent mean the same.
type Breaker struct {
	// Awaited are the evictions whose pods have not come back well yet, the oldest
	// first.
	Awaited []Awaited `json:"awaited,omitempty"`
	// Failures are those in a row; Last tells of the latest.
	Failures int    `json:"failures,omitempty"`
	Last     string `json:"last,omitempty"`
	// Opened is when updates were stopped last; zero while they are not.
	Opened time.Time `json:"opened,omitzero"`
}

func (b Breaker) empty() bool {
	return len(b.Awaited) == 0 && b.Failures == 0 && b.Last == "" && b.Opened.IsZero()
}

// Awaited is one eviction, or one rollout, that was to be made.
type Awaited struct {
	Pod   string    `json:"pod"`
	UID   string    `json:"uid,omitempty"`
	Group string    `json:"group,omitempty"`
	At    time.Time `json:"at"`
	// Surge tells that a new pod comes before one goes.
	Surge bool `json:"surge,omitempty"`
}

// breakerOf is what holds for the object: the policy's, else the flags'; nil for
// none.
func breakerOf(s *Snapshot) *verticalpolicy.Breaker {
	if s.Policy != nil && s.Policy.Breaker != nil {
		return s.Policy.Breaker
	}
	return s.Config.Kindness.Breaker
}

// guardBreaker follows the pods that were evicted, and stops updates while too many
// of them did not come back well.
func guardBreaker(t *turn) bool {
	cfg := breakerOf(t.s)
	before := Breaker{}
	if t.state.Breaker != nil {
		before = *t.state.Breaker
	}
	if cfg == nil {
		if !before.empty() {
			t.d.Observed.Breaker = &Breaker{}
		}
		return true
	}
	f := follower{t: t, cfg: *cfg, b: before}
	f.b.Awaited = nil
	f.follow(before.Awaited)
	t.d.Failures, t.d.Observed.Breaker = f.failed, &f.b
	return t.fleetHolds() && f.holds()
}

// fleetHolds stops all objects while there were too many failures of any.
func (t *turn) fleetHolds() bool {
	k := t.s.Config.Kindness
	if k.Fleet <= 0 || k.Breaker == nil {
		return true
	}
	since := t.s.Now.Add(-k.Breaker.ResetAfter)
	var recent []Failure
	for _, f := range t.s.Fleet.Failures {
		if f.At.After(since) {
			recent = append(recent, f)
		}
	}
	if len(recent) < k.Fleet {
		return true
	}
	next := recent[len(recent)-k.Fleet].At.Add(k.Breaker.ResetAfter)
	return t.stop(ReasonBreakerOpen, fmt.Sprintf("%s of all objects did not come back well within %s, the last of %s: nothing is updated until %s",
		count(len(recent), "pod"), k.Breaker.ResetAfter, recent[len(recent)-1].Object, next.Format(time.RFC3339)))
}

// follower finds out what became of evictions.
type follower struct {
	t      *turn
	cfg    verticalpolicy.Breaker
	b      Breaker
	failed []string
}

// follow judges each eviction by the pod that came in its place.
func (f *follower) follow(awaited []Awaited) {
	came := f.came(awaited)
	taken := map[string]bool{}
	for _, a := range awaited {
		if pod, there := f.t.s.Pods[a.Pod]; there && pod.UID == a.UID {
			continue // It was not let go.
		}
		late := !f.t.s.Now.Before(a.At.Add(f.cfg.ReadyWithin))
		name := f.match(a, came, taken)
		switch {
		case name == "" && !a.Surge && f.unneeded(a):
		case name == "" && late:
			f.fail(a, fmt.Sprintf("no pod came in the place of %s within %s", a.Pod, f.cfg.ReadyWithin))
		case name == "":
			f.b.Awaited = append(f.b.Awaited, a)
		default:
			taken[name] = true
			f.judge(a, name, late)
		}
	}
}

// came are the pods that were made since the first of the evictions, the oldest
// first.
func (f *follower) came(awaited []Awaited) []string {
	if len(awaited) == 0 {
		return nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(f.t.s.Pods)) {
		if !f.t.s.Pods[name].Created.Before(awaited[0].At.Truncate(time.Second)) {
			names = append(names, name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return f.t.s.Pods[a].Created.Compare(f.t.s.Pods[b].Created) })
	return names
}

// match finds the pod in the place of one that was evicted: the namesake of a
// StatefulSet's, else the first that came since and is in no other's place.
func (f *follower) match(a Awaited, came []string, taken map[string]bool) string {
	for _, name := range came {
		pod := f.t.s.Pods[name]
		if taken[name] || pod.Created.Before(a.At.Truncate(time.Second)) {
			continue
		}
		if kindOf(a.Group) == kindStatefulSet && name != a.Pod {
			continue
		}
		return name
	}
	return ""
}

// unneeded tells that the owner wants no pod in the place any more: it has those
// that it wants, or says no number.
func (f *follower) unneeded(a Awaited) bool {
	wanted, live := 0, len(f.t.s.Pods)
	for _, name := range slices.Sorted(maps.Keys(f.t.s.Groups)) {
		g := f.t.s.Groups[name]
		if name == a.Group && !g.Counted && g.Error == "" {
			return true
		}
		wanted += int(g.Replicas)
	}
	return live >= wanted && len(f.t.s.Groups) > 0
}

// judge tells whether the pod that came is well.
func (f *follower) judge(a Awaited, name string, late bool) {
	pod := f.t.s.Pods[name]
	var fitted []resourcepolicy.Recommendation
	for _, r := range resourcepolicy.Fit(resourcepolicy.Pod{
		Containers: pod.Containers, Policy: f.t.s.VPA.Policy, Limits: f.t.s.Limits,
	}, f.t.s.VPA.Recommendations) {
		fitted = append(fitted, r.Recommendation)
	}
	is := compare(pod, fitted)
	switch {
	case is.outside && pod.Patched:
		f.fail(a, fmt.Sprintf("the admission webhook patched %s, and something else overwrote it: %s", name, is.what))
	case is.outside:
		f.fail(a, fmt.Sprintf("%s came without the admission webhook's patch: %s", name, is.what))
	case pod.Ready:
		f.b.Failures, f.b.Last, f.b.Opened = 0, "", time.Time{}
	case late:
		f.fail(a, fmt.Sprintf("%s is not Ready within %s of the eviction of %s", name, f.cfg.ReadyWithin, a.Pod))
	default:
		f.b.Awaited = append(f.b.Awaited, a)
	}
}

func (f *follower) fail(a Awaited, why string) {
	f.b.Failures++
	f.b.Last = why
	f.failed = append(f.failed, a.Pod)
	f.t.step(0, "PodNotWell", why)
	if f.cfg.Failures > 0 && f.b.Failures >= int(f.cfg.Failures) {
		f.b.Opened = f.t.s.Now
	}
}

// holds stops updates while the breaker is open. After its time one pod is tried;
// where that comes back well the breaker closes, else it opens anew.
func (f *follower) holds() bool {
	if f.b.Opened.IsZero() || f.cfg.Failures <= 0 {
		return true
	}
	said := fmt.Sprintf("%s in a row did not come back well; the last: %s", count(f.b.Failures, "updated pod"), f.b.Last)
	next := f.b.Opened.Add(f.cfg.ResetAfter)
	if f.t.s.Now.Before(next) {
		return f.t.stop(ReasonBreakerOpen, fmt.Sprintf("%s: nothing is updated until %s", said, next.Format(time.RFC3339)))
	}
	if len(f.b.Awaited) > 0 {
		a := f.b.Awaited[0]
		return f.t.stop(ReasonBreakerOpen, fmt.Sprintf("%s: %s was evicted for a trial, and has until %s to come back well",
			said, a.Pod, a.At.Add(f.cfg.ReadyWithin).Format(time.RFC3339)))
	}
	f.t.kind.trial = true
	return true
}

// await remembers the evictions that are about to be made. Those that are refused
// are found out at the next turn: their pods are still there.
func (t *turn) await() {
	b := t.d.Observed.Breaker
	if b == nil || !t.d.Act || breakerOf(t.s) == nil {
		return
	}
	for _, c := range t.d.Candidates {
		if len(c.Resize) == 0 || c.OrEvict {
			b.Awaited = append(b.Awaited, Awaited{Pod: c.Pod, UID: c.UID, Group: c.Group, At: t.s.Now})
		}
	}
	if r := t.d.Rollout; r != nil {
		b.Awaited = append(b.Awaited, Awaited{Pod: "a pod of " + r.Deployment, Group: r.Deployment, At: t.s.Now, Surge: true})
	}
	slices.SortStableFunc(b.Awaited, func(x, y Awaited) int {
		return cmp.Or(x.At.Compare(y.At), strings.Compare(x.Pod, y.Pod))
	})
}
