package replicas

import (
	"fmt"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// widenTolerance takes the policy's tolerance in place of a narrower one while
// the count goes to and fro.
func widenTolerance(t *turn) verdict {
	if t.s.Policy == nil || t.s.Policy.Oscillation == nil {
		return proceed
	}
	o := t.s.Policy.Oscillation
	turns := reversalsSince(t.state, t.s.Now.Add(-o.Window))
	if o.Changes <= 0 || len(turns) < int(o.Changes) {
		return proceed
	}
	before := tolerances(t.s)
	t.s.Config.Tolerance = max(t.s.Config.Tolerance, o.Tolerance)
	if b := t.s.HPA.Behavior; b != nil {
		// A copy: the snapshot's own is not ours to change.
		wide := *b
		wide.Down.Tolerance, wide.Up.Tolerance = wider(b.Down.Tolerance, o.Tolerance), wider(b.Up.Tolerance, o.Tolerance)
		t.s.HPA.Behavior = &wide
	}
	after := tolerances(t.s)
	if after == before {
		return proceed
	}
	ends := instant(turns[len(turns)-int(o.Changes)].Add(o.Window))
	t.widened = fmt.Sprintf("tolerance %g up and %g down in place of %g and %g until %s at least, since the count goes to and fro",
		after.up, after.down, before.up, before.down, ends)
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: "ToleranceWidened",
		Message: fmt.Sprintf("%d changes of direction in %s: %s", len(turns), o.Window, t.widened)})
	return proceed
}

// wider widens a tolerance that is set.
func wider(set *float64, least float64) *float64 {
	if set == nil || *set >= least {
		return set
	}
	return &least
}
