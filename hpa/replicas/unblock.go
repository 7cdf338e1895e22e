package replicas

import (
	"fmt"
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
)

// whenStable tells when the recommendations that hold a count back leave their
// window: from then on it goes to what the metrics ask for, if they still do.
func (t *turn) whenStable(r behavior.Result) string {
	if !r.Limited {
		return ""
	}
	windows := WindowsOf(t.s)
	window, up := windows.Down, r.Reason == behavior.ReasonUpStabilized
	if up {
		window = windows.Up
	}
	var last time.Time
	for _, past := range t.state.Recommendations {
		holds := past.Replicas > t.desired
		if up {
			holds = past.Replicas < t.desired
		}
		if holds && past.At.After(last) && !past.At.Before(t.s.Now.Add(-window)) {
			last = past.At
		}
	}
	if last.IsZero() {
		return ""
	}
	return fmt.Sprintf("; %d from %s on if the metrics ask for it until then", t.desired, clockTime(last.Add(window)))
}

// whenFree tells what lets a count go on that a bound or a policy stopped.
func (t *turn) whenFree(r behavior.Result) string {
	switch r.Reason {
	case behavior.ReasonTooMany:
		return "; a higher maxReplicas lets it grow"
	case behavior.ReasonTooFew:
		return "; a lower minReplicas lets it shrink"
	case behavior.ReasonUpLimit, behavior.ReasonDownLimit:
	default:
		return ""
	}
	b := t.s.HPA.Behavior
	if b == nil {
		return "; the next turn may go on from there"
	}
	rules := b.Up
	if r.Reason == behavior.ReasonDownLimit {
		rules = b.Down
	}
	if rules.Select == behavior.SelectDisabled {
		return "; selectPolicy is Disabled"
	}
	if at := t.nextFree(rules); !at.IsZero() {
		return fmt.Sprintf("; earlier changes leave the periods of the policies from %s on", clockTime(at))
	}
	return "; the next turn may go on as far as the policies count this change"
}

// nextFree is when the first of the changes that the policies count leaves the
// period of one of them, zero where they count none.
func (t *turn) nextFree(rules behavior.Rules) time.Time {
	var first time.Time
	for _, p := range rules.Policies {
		period := span(p.PeriodSeconds)
		for _, e := range slices.Concat(t.state.Ups, t.state.Downs) {
			ends := e.At.Add(period)
			if ends.After(t.s.Now) && (first.IsZero() || ends.Before(first)) {
				first = ends
			}
		}
	}
	return first
}

// shownPods is how many pods of a class are named.
const shownPods = 3

// firstNames keeps the first few names in their order.
func firstNames(have []string, name string) []string {
	i, _ := slices.BinarySearch(have, name)
	if i >= shownPods {
		return have
	}
	have = slices.Insert(have, i, name)
	return have[:min(len(have), shownPods)]
}
