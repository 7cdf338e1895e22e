package replicas

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// verdict is what a rule says about those after it.
type verdict int

const (
	// proceed: ask the next rule.
	proceed verdict = iota
	// settled: the desired count is final.
	settled
	// blocked: nothing can be decided; the count stays.
	blocked
)

// rule looks at the turn and may change the desired count.
type rule struct {
	name  string
	apply func(*turn) verdict
	// last rules are asked about a settled count too.
	last bool
}

// rules are asked in this order. Each leaves steps under its name or, for
// metrics, under metric/<type>.
func rules() []rule {
	return []rule{
		// The more cautious of the policy's mode and the binary's holds.
		{name: "policy/mode", apply: chooseMode},
		// Two writers never: what another controller acts on is left alone.
		{name: "guard/writer", apply: guardWriter},
		// Without the target's scale nothing is known.
		{name: "target/scale", apply: readScale},
		// A history that was kept is gone on with.
		{name: "history/resume", apply: resume},
		// An object seen for the first time begins with the count that it has.
		{name: "history/first-sight", apply: firstSight},
		// A count that goes to and fro is told of, whatever comes of this turn.
		{name: "history/oscillation", apply: tellOscillation},
		// So is what else acts on the target, or on what metrics are percentages of.
		{name: "target/other-writer", apply: tellSetter},
		{name: "target/contention", apply: tellContention},
		// Schedules bound the count in place of the object.
		{name: "policy/schedule", apply: schedule},
		// A count of zero that we did not write means: do not scale.
		{name: "target/zero", apply: manualZero},
		// Outside the spec's bounds no metric is asked.
		{name: "bound/max", apply: aboveMax},
		{name: "bound/min", apply: belowMin},
		// Pods are found by a selector that no other HPA's overlaps.
		{name: "target/selector", apply: selectPods},
		// Of the pods that it finds, only those that the target owns count.
		{name: "target/pods", apply: tellStrays},
		// What a rollout adds or lacks for a while is no load and no idleness.
		{name: "target/rollout", apply: watchRollout},
		// A sample that is too old is none.
		{name: "policy/sample-age", apply: judgeAges},
		// A count that goes to and fro is moved by larger deviations only.
		{name: "policy/tolerance", apply: widenTolerance},
		// Each metric proposes a count, at zero only from its threshold on; the
		// highest wins, and with a metric missing nothing is scaled down.
		{name: "metric", apply: askMetrics},
		{name: "policy/activation", apply: activate},
		{name: "metrics/highest", apply: takeHighest},
		// Without any metric for long enough the fallback gives the count.
		{name: "policy/fallback", apply: fallBack},
		// Recent recommendations hold the count back.
		{name: "window/stabilization", apply: stabilize},
		// So do the bounds, and the rate of change.
		{name: "rate/limit", apply: limitRate},
		// What leaves zero goes to the minimum at least.
		{name: "bound/from-zero", apply: leaveZero},
		// Each direction has its pause after a change.
		{name: "delay/direction", apply: delay},
		// A pause holds everything, corrections to the bounds among it.
		{name: "pause/direction", apply: pause, last: true},
	}
}

// turn is one decision in the making.
type turn struct {
	s     *Snapshot
	state State
	d     Decision
	// rule is the name of the rule that is asked.
	rule             string
	current, desired int32
	answers          []answer
	// judged are the notices that were looked at in this turn.
	judged []string
	// metric is the name of the one that won.
	metric string
	// why sums up what brought the desired count about.
	why string
	// limits are the bounds in force, and own those of the object itself.
	limits, own limits
	fallback    fallback
	// widened tells of a wider tolerance, empty where it is the usual.
	widened string
}

// Decide says what to do about one object. It is pure: the same snapshot and
// state give the same decision, byte for byte.
func Decide(s Snapshot, state State) Decision {
	t := &turn{s: &s, state: state, current: s.Scale.Spec}
	t.limits, t.own = limitsOf(&s), limits{Min: s.HPA.Min, Max: s.HPA.Max}
	t.d.Component = Component
	t.d.Unit = decision.Unit{Kind: cmp.Or(s.HPA.Kind, Kind), Namespace: s.HPA.Namespace, Name: s.HPA.Name, UID: s.HPA.UID}
	t.d.At = s.Now
	t.d.Target = s.HPA.Target
	t.d.From, t.d.To = t.current, t.current
	t.d.DesiredBefore = keptDesired(&s)
	verdict := proceed
	for _, r := range rules() {
		if verdict == settled && !r.last {
			continue
		}
		t.rule = r.name
		if v := r.apply(t); v != proceed {
			verdict = v
		}
		if verdict == blocked {
			break
		}
	}
	if verdict != blocked {
		t.conclude()
	}
	t.d.Status.ObservedGeneration = s.HPA.Generation
	if s.Mode == ModeRecommend {
		t.recommend(verdict == blocked)
	}
	t.attach()
	t.withdraw()
	return t.d
}

// keptDesired is the desired count that the status keeps while nothing can be
// decided. A status that never had one shows the current count.
func keptDesired(s *Snapshot) int32 {
	if s.HPA.Status.DesiredReplicas == 0 {
		return s.Scale.Spec
	}
	return s.HPA.Status.DesiredReplicas
}

// conclude turns the desired count into the decision.
func (t *turn) conclude() {
	t.d.To = t.desired
	t.d.Act = t.s.Mode == ModeAuto && t.d.To != t.d.From
	t.d.Status.Scope = ScopeAll
	t.d.Status.CurrentReplicas, t.d.Status.DesiredReplicas = t.current, t.desired
	switch {
	case t.d.Reason != "":
		return
	case t.d.To == t.d.From:
		t.d.Reason, t.d.Message, t.d.Cause = ReasonHold, t.why, ""
		return
	case t.d.To > t.d.From:
		t.d.Reason = ReasonScaleUp
	default:
		t.d.Reason = ReasonScaleDown
	}
	if t.d.Cause == "" {
		// No metric asked for it: what the rules did is the cause.
		t.d.Cause = t.why
	}
	t.d.Message = fmt.Sprintf("New size: %d; reason: %s", t.d.To, t.d.Cause)
	t.d.OnSuccess.Scaled = t.change()
	if t.s.Gates.ScaleToZero {
		t.d.Zero = ReasonNotZero
		if t.current > 0 && t.desired == 0 && t.s.HPA.Min == 0 && wakes(t.s) {
			t.d.Zero = ReasonZero
		}
	}
}

func (t *turn) change() *Scaled {
	c := &Scaled{Direction: behavior.Up, At: t.s.Now, Change: t.desired - t.current}
	if t.desired < t.current {
		c.Direction, c.Change = behavior.Down, t.current-t.desired
	}
	if b := t.s.HPA.Behavior; b != nil {
		c.Counted, c.LongestPeriod = true, b.Up.LongestPeriod()
		if c.Direction == behavior.Down {
			c.LongestPeriod = b.Down.LongestPeriod()
		}
	}
	return c
}

// withdraw removes conditions of our own that no longer hold.
func (t *turn) withdraw() {
	holds := func(kind string) bool {
		return slices.ContainsFunc(t.d.Conditions, func(c decision.Condition) bool { return c.Type == kind })
	}
	for _, kind := range t.s.HPA.Status.Shown {
		if !holds(kind) && !t.unjudged(kind) {
			t.d.Status.Withdrawn = append(t.d.Status.Withdrawn, kind)
		}
	}
	if t.s.HPA.Status.ScaledToZero && !t.s.Gates.ScaleToZero {
		t.d.Status.Withdrawn = append(t.d.Status.Withdrawn, ScaledToZero)
	}
}

// recommend reduces what is shown to one condition, and an event where it
// changed: in mode Recommend another controller may own the rest of the status.
func (t *turn) recommend(unknown bool) {
	c := decision.Condition{Type: Recommends, Status: decision.False, Reason: "WouldHold",
		Message: fmt.Sprintf("mode Recommend: would keep %d", t.d.To)}
	var events []Event
	switch {
	case unknown:
		c.Status, c.Reason, c.Message = decision.Unknown, "CannotDecide", "mode Recommend: cannot decide: "+t.d.Message
	case t.d.To != t.d.From:
		would := fmt.Sprintf("would scale from %d to %d; reason: %s", t.d.From, t.d.To, t.d.Cause)
		c.Status, c.Reason, c.Message = decision.True, "WouldScale", "mode Recommend: "+would
		t.rule = "mode/recommend"
		t.step(t.d.From, "Withheld", "mode Recommend: the change is shown and not made")
		if before := t.state.Recommended; before == nil || *before != t.d.To {
			events = []Event{{Type: Normal, Reason: "Recommendation", Message: "Mode Recommend: " + would}}
		}
	}
	if before := t.state.Recommended; !unknown && (before == nil || *before != t.d.To) {
		n := t.d.To
		t.d.Observed.Recommended = &n
	}
	t.d.Conditions = []decision.Condition{c}
	t.d.Events = events
	t.d.Status.Scope = ScopeConditions
}

// step notes what the current rule did to the desired count.
func (t *turn) step(out int32, reason, message string) {
	t.d.Steps = append(t.d.Steps, decision.Step{
		Rule: t.rule, In: count(t.desired), Out: count(out), Reason: reason, Message: message,
	})
}

// block ends the turn without a desired count.
func (t *turn) block(reason, message string) verdict {
	t.d.Reason, t.d.Message = reason, message
	t.d.Failure = FailureInternal
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: reason, Message: message})
	return blocked
}

// condition sets a condition in the place of an earlier one of its type.
func (t *turn) condition(kind string, status decision.Status, reason, message string) {
	t.d.Conditions = setCondition(t.d.Conditions, decision.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
	})
}

func setCondition(all []decision.Condition, c decision.Condition) []decision.Condition {
	i := slices.IndexFunc(all, func(have decision.Condition) bool { return have.Type == c.Type })
	if i < 0 {
		return append(all, c)
	}
	all[i] = c
	return all
}

func (t *turn) warn(reason, message string) {
	t.d.Events = append(t.d.Events, Event{Type: Warning, Reason: reason, Message: message})
}

func (t *turn) fault(source, reason, message string) {
	t.d.Faults = append(t.d.Faults, decision.Fault{Source: source, Reason: reason, Message: message})
}

func count(n int32) string { return strconv.FormatInt(int64(n), 10) }

func clockTime(at time.Time) string { return at.Format("15:04:05Z") }
