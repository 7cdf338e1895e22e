package replicas

import (
	"fmt"
	"time"
)

// Oscillation is reported by these where no policy says otherwise: they are the
// defaults of Policy.Oscillation.
const (
	oscillationWindow  = 30 * time.Minute
	oscillationChanges = 4
)

// reversalsSince gives the reversals after a time, oldest first.
func reversalsSince(state State, since time.Time) []time.Time {
	var out []time.Time
	for _, r := range state.Reversals {
		if r.After(since) {
			out = append(out, r)
		}
	}
	return out
}

// oscillationOf is what counts as oscillation of the object.
func oscillationOf(s *Snapshot) (window time.Duration, changes int) {
	window, changes = oscillationWindow, oscillationChanges
	if s.Policy != nil && s.Policy.Oscillation != nil {
		if o := s.Policy.Oscillation; o.Window > 0 && o.Changes > 0 {
			window, changes = o.Window, int(o.Changes)
		}
	}
	return window, changes
}

// tellOscillation shows that a count went to and fro. Once shown it holds until
// fewer than half as many reversals are left in the window.
func tellOscillation(t *turn) verdict {
	t.judge(Oscillating)
	window, changes := oscillationOf(t.s)
	least := changes
	if t.shows(Oscillating) {
		least = max(1, changes/2)
	}
	if len(reversalsSince(t.state, t.s.Now.Add(-window))) < least {
		return proceed
	}
	t.notice(Oscillating, ReasonOscillates, fmt.Sprintf(
		"the count of %s changed its direction %d times or more within %s: widen the tolerance or lengthen stabilizationWindowSeconds in spec.behavior, "+
			"or let a HorizontalScalingPolicy widen the tolerance meanwhile (spec.oscillation)",
		t.s.HPA.Target.text(), changes, window))
	return proceed
}
