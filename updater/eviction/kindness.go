package eviction

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// Kindness is what the flags say of being kind to workloads. All of it is off in
// its zero value.
type Kindness struct {
	// RequireFit has every pod updated only where it will fit afterwards; policies
	// may ask for it by object.
	RequireFit bool `json:"requireFit,omitempty"`
	// RespectOwners keeps to the order and the budgets of StatefulSets and
	// DaemonSets and leaves Jobs to run to their end; so does a policy that states
	// any disruption.
	RespectOwners bool `json:"respectOwners,omitempty"`
	// PerMinute and PerHour are how many evictions there may be in all; 0 is no
	// bound.
	PerMinute int `json:"perMinute,omitempty"`
	PerHour   int `json:"perHour,omitempty"`
	// Breaker is that of objects whose policy states none; nil is none. Its
	// Failures may be 0, where only Fleet counts.
	Breaker *verticalpolicy.Breaker `json:"breaker,omitempty"`
	// Fleet is the number of failures of all objects, within Breaker.ResetAfter,
	// from which nothing more is evicted; 0 is none.
	Fleet int `json:"fleet,omitempty"`
}

// Fleet is what one decision knows of all others.
type Fleet struct {
	// Evictions are those of the last hour, the oldest first. They are given where
	// a rate is set.
	Evictions []time.Time `json:"evictions,omitempty"`
	// Failures are those that breakers counted lately, the oldest first.
	Failures []Failure `json:"failures,omitempty"`
	// Windowed tells that pods may be evicted only inside of Windows.
	Windowed bool                    `json:"windowed,omitempty"`
	Windows  []verticalpolicy.Window `json:"windows,omitempty"`
}

// Failure is an updated pod that did not come back well.
type Failure struct {
	// Object is the VerticalPodAutoscaler as namespace/name.
	Object string    `json:"object"`
	At     time.Time `json:"at"`
}

// Blocked tells why one pod is not updated now.
type Blocked struct {
	Pod    string `json:"pod"`
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	// Object is what blocks, as ResourceQuota compute, where it is one.
	Object string `json:"object,omitempty"`
	// Next is when the pod may be updated as far as this rule goes, zero where that
	// does not depend on time.
	Next time.Time `json:"next,omitzero"`
}

// bar is what keeps a pod from being evicted.
type bar struct {
	reason, message, object string
	next                    time.Time
}

// barRule gives what keeps a pod from being disturbed now, nil for nothing.
type barRule struct {
	name string
	ask  func(*turn, *judged) *bar
}

// barRules are asked of the pods that are in need, in the order of their need,
// before an eviction or a resize that restarts containers. Without flags and
// policies none of them bars anything.
func barRules() []barRule {
	return []barRule{
		// A Job's pod that is evicted begins its work anew.
		{"owner/job", ownerJob},
		// StatefulSets go from the last pod to the first.
		{"owner/order", ownerOrder},
		// A DaemonSet says how many of its nodes may be without.
		{"owner/daemon-set", ownerDaemonSet},
		// The workload's own budget, beside those of policy/v1.
		{"budget/unavailable", maxUnavailable},
		{"budget/interval", minInterval},
		{"budget/window", openWindow},
		// What all objects together may do.
		{"budget/rate", evictionRate},
		// A pod is not evicted to wait for a node, or to be refused.
		{"fit/room", hasRoom},
	}
}

// care is what kindness keeps of a pod.
type care struct {
	// next and object are for Blocked.
	next   time.Time
	object string
	// place is where the pod would go, as far as that was asked for.
	place fit.Place
	// taken is what the pod took of the room, nil where nothing was asked for.
	taken *fit.Taken
	// reserved is the change that place is for, nil where none was asked for.
	reserved *fit.Change
	// surges tells that a rollout takes the place of the eviction, goes that the
	// pod is evicted now.
	surges, goes bool
}

// kindTurn is what kindness keeps of one decision in the making.
type kindTurn struct {
	// wanting are the pods in need, in the order of their need.
	wanting []*judged
	room    *fit.Room
	// evictions counts what uses up the rate, disturbed the Ready pods that go.
	evictions, disturbed int
	// trial tells that the breaker lets one eviction through.
	trial bool
	// surge names the Deployment whose rollout takes the place of evictions.
	surge string
}

// disruption is the attached policy's part on it.
func (t *turn) disruption() verticalpolicy.Disruption {
	if t.s.Policy == nil {
		return verticalpolicy.Disruption{}
	}
	return t.s.Policy.Disruption
}

// respects tells whether the rules of owners hold.
func (t *turn) respects() bool {
	d := t.disruption()
	return t.s.Config.Kindness.RespectOwners || d.MaxUnavailable != nil || d.MinInterval > 0 || d.Windowed ||
		d.Surge != "" && d.Surge != verticalpolicy.SurgeNever
}

// spare tells whether the pod may be disturbed now; where it may not, a step names
// what bars it. A resize that restarts nothing disturbs nobody; where an eviction
// would follow its refusal, that is left out if it may not be.
func (t *turn) spare(p *judged) bool {
	if p.surges = t.surging(p); p.surges && t.d.Rollout != nil {
		return true // It is replaced with the others.
	}
	gentle := len(p.changes) > 0 && (p.pod.Spec == nil || !p.pod.Spec.Restarts)
	for _, r := range barRules() {
		b := r.ask(t, p)
		switch {
		case b == nil:
			continue
		case gentle:
			p.orEvict = false
			return true
		}
		t.rule, p.next, p.object = r.name, b.next, b.object
		t.step(0, b.reason, fmt.Sprintf("%s: %s; %s%s", p.name, p.why, b.message, eligible(b.next)))
		return false
	}
	return true
}

// eligible tells from when on a rule would let a pod pass.
func eligible(next time.Time) string {
	if next.IsZero() {
		return ""
	}
	return ", until " + next.Format(time.RFC3339)
}

// spend notes that the pod is updated now.
func (t *turn) spend(p *judged) {
	if p.goes = len(p.changes) == 0; p.goes || p.orEvict {
		t.kind.evictions++
	}
	if p.pod.Ready {
		t.kind.disturbed++
	}
	if p.reserved != nil {
		taken := t.kind.room.Take(*p.reserved, p.place)
		p.taken = &taken
	}
}

// standIn gives a pod that cannot go now as one that may go in the place of another
// that is refused, but where room would have to be set aside for it.
func (t *turn) standIn(p *judged) *Candidate {
	if p.reserved != nil && len(p.changes) == 0 {
		return nil
	}
	return p.candidate
}

// note names what the last rule that was asked holds against a pod.
func (t *turn) note(p *judged) {
	if !p.wanted && p.next.IsZero() || len(t.d.Steps) == 0 {
		return
	}
	last := t.d.Steps[len(t.d.Steps)-1]
	t.d.Blocked = append(t.d.Blocked, Blocked{Pod: p.name, Rule: last.Rule, Reason: last.Reason, Object: p.object, Next: p.next})
}

// minInterval leaves a pod alone that came not long ago: in its place the last
// update was then, or later.
func minInterval(t *turn, p *judged) *bar {
	least := t.disruption().MinInterval
	if least <= 0 || p.pod.Created.IsZero() {
		return nil
	}
	next := p.pod.Created.Add(least)
	if !t.s.Now.Before(next) {
		return nil
	}
	return &bar{reason: "TooSoon", next: next, object: t.s.Policy.Source(),
		message: fmt.Sprintf("it is there since %s, and minInterval is %s", clockTime(p.pod.Created), least)}
}

// openWindow holds evictions to the windows of the flags and of the policy.
func openWindow(t *turn, _ *judged) *bar {
	own := t.disruption()
	for _, w := range []struct {
		verticalpolicy.Disruption
		source string
	}{
		{verticalpolicy.Disruption{Windowed: t.s.Fleet.Windowed, Windows: t.s.Fleet.Windows}, "--eviction-window"},
		{own, ""},
	} {
		open, until := w.Open(t.s.Now)
		if open {
			continue
		}
		if w.source == "" {
			w.source = t.s.Policy.Source()
		}
		message := w.source + " has no window open"
		if until.IsZero() {
			message += ", and none will be"
		}
		return &bar{reason: "OutsideWindow", message: message, object: w.source, next: until}
	}
	return nil
}

// evictionRate holds all objects together to a number of evictions a minute and an
// hour. What the breaker lets through for a trial is one.
func evictionRate(t *turn, _ *judged) *bar {
	if t.kind.trial && t.kind.evictions > 0 {
		return &bar{reason: "BreakerTrial", message: "after the breaker was open one pod is tried at a time"}
	}
	k := t.s.Config.Kindness
	for _, r := range []struct {
		most int
		span time.Duration
		name string
	}{{k.PerMinute, time.Minute, "--evictions-per-minute"}, {k.PerHour, time.Hour, "--evictions-per-hour"}} {
		if r.most <= 0 {
			continue
		}
		since := t.s.Now.Add(-r.span)
		first := slices.IndexFunc(t.s.Fleet.Evictions, func(at time.Time) bool { return at.After(since) })
		recent := []time.Time(nil)
		if first >= 0 {
			recent = t.s.Fleet.Evictions[first:]
		}
		if len(recent)+t.kind.evictions < r.most {
			continue
		}
		next := t.s.Now.Add(r.span)
		if over := len(recent) - r.most; over >= 0 {
			next = recent[over].Add(r.span)
		} else if len(recent) > 0 {
			next = recent[0].Add(r.span)
		}
		return &bar{reason: "RateReached", object: r.name, next: next,
			message: fmt.Sprintf("%s is %d, and %d were evicted of all objects", r.name, r.most, len(recent)+t.kind.evictions)}
	}
	return nil
}

// allowance is how many evictions the actuator may make at the most; 0 is no
// bound.
func (t *turn) allowance() int {
	k := t.s.Config.Kindness
	if k.PerMinute <= 0 && k.PerHour <= 0 && !t.kind.trial {
		return 0
	}
	return t.kind.evictions
}

// wantedAndReady counts what the controllers of all pods want and what they have.
func (t *turn) wantedAndReady() (wanted, ready int) {
	for _, g := range t.groups {
		wanted += g.wanted
	}
	for _, pod := range t.s.Pods {
		if pod.Ready {
			ready++
		}
	}
	return wanted, ready
}

// maxUnavailable is the policy's. A pod that is not Ready serves nobody, and may
// be updated whatever the others do.
func maxUnavailable(t *turn, p *judged) *bar {
	own := t.disruption().MaxUnavailable
	if own == nil || !p.pod.Ready || p.surges {
		return nil
	}
	wanted, ready := t.wantedAndReady()
	most := share(own, wanted, false)
	if away := wanted - ready; max(away, 0)+t.kind.disturbed >= most {
		return &bar{reason: "UnavailableReached", object: t.s.Policy.Source(),
			message: fmt.Sprintf("maxUnavailable %s lets %d of %d be away, and %d are, with %d that go now", own, most, wanted, max(away, 0), t.kind.disturbed)}
	}
	return nil
}

// share is a number or a percentage of all; a percentage above 0 is at least one.
func share(n *intstr.IntOrString, all int, up bool) int {
	most, err := intstr.GetScaledValueFromIntOrPercent(n, all, up)
	switch {
	case err != nil || most < 0:
		return 0
	case most == 0 && n.Type == intstr.String && !strings.HasPrefix(n.StrVal, "0"):
		return 1
	}
	return most
}
