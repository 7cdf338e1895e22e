package replicas

import (
	"errors"
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// For how long after its last write another controller is taken to act.
const (
	// writerPeriods counts sync periods of ours.
	writerPeriods = 4
	// writerGrace is the least: four of upstream's own periods, by its default.
	writerGrace = time.Minute
	// contestedGrace holds where it wrote although we had acted since: it is alive,
	// and is silent only for as long as its status does not change.
	contestedGrace = 10 * time.Minute
)

// otherWriter is the controller that acts on the object besides us, nil where
// none does.
func otherWriter(s *Snapshot, state State) *Writer {
	if s.Writer == nil {
		return nil
	}
	grace := max(writerPeriods*s.Config.SyncPeriod, writerGrace)
	// Managed fields tell whole seconds.
	if !state.ActedAt.IsZero() && !s.Writer.At.Before(state.ActedAt.Truncate(time.Second)) {
		grace = max(grace, contestedGrace)
	}
	if !s.Now.Before(s.Writer.At.Add(grace)) {
		return nil
	}
	return s.Writer
}

func guardWriter(t *turn) verdict {
	w := otherWriter(t.s, t.state)
	if w == nil {
		if t.s.Mode != ModeRecommend {
			t.d.Observed.ActedAt = t.s.Now
		}
		return proceed
	}
	message := fmt.Sprintf("%s writes the status of this object: the HPA controller of Quartet leaves it alone until that stops", w.Manager)
	if t.s.Mode == ModeRecommend {
		t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: ReasonOtherWriter,
			Message: fmt.Sprintf("%s acts on this object; mode Recommend only watches", w.Manager)})
		return proceed
	}
	t.block(ReasonOtherWriter, message)
	t.d.Failure = ""
	t.condition(Acting, decision.False, ReasonOtherWriter, message)
	t.warn(ReasonOtherWriter, message)
	t.d.Status.Scope = ScopeConditions
	return blocked
}

func readScale(t *turn) verdict {
	if e := t.s.Scale.Error; e != "" {
		t.block(ReasonNoScale, e)
		if t.s.Scale.InvalidTarget {
			t.d.Failure = FailureSpec
		}
		t.fault("scale of "+t.s.HPA.Target.text(), ReasonNoScale, e)
		t.condition(AbleToScale, decision.False, ReasonNoScale, "the HPA controller was unable to get the target's current scale: "+e)
		t.warn(ReasonNoScale, e)
		t.d.Status.Scope = ScopeConditions
		return blocked
	}
	t.condition(AbleToScale, decision.True, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	t.d.Steps = append(t.d.Steps, decision.Step{
		Rule: t.rule, Out: count(t.current), Reason: "SucceededGetScale",
		Message: fmt.Sprintf("%s asks for %d and has %d", t.s.HPA.Target.text(), t.s.Scale.Spec, t.s.Scale.Status),
	})
	return proceed
}

// firstSight begins the history. The status keeps the time of the last change in
// whole seconds and without its direction: the end of that second counts, for
// both directions.
func firstSight(t *turn) verdict {
	if t.state.Seeded {
		return proceed
	}
	seed := &Seed{Recommendation: behavior.Recommendation{At: t.s.Now, Replicas: t.current}}
	if last := t.s.HPA.Status.LastScaleTime; !last.IsZero() {
		seed.LastScale = last.Add(time.Second)
	}
	t.d.Observed.Seed = seed
	t.state = apply(t.state, Delta{Seed: seed})
	t.d.Steps = append(t.d.Steps, decision.Step{
		Rule: t.rule, Reason: "FirstSight",
		Message: fmt.Sprintf("seen for the first time since the start: the present count of %d begins the history", t.current),
	})
	return proceed
}

// wakes tells whether a metric can ask for replicas while none run.
func wakes(s *Snapshot) bool {
	for _, m := range s.HPA.Metrics {
		if m.Type == Object || m.Type == External {
			return true
		}
	}
	return false
}

func ownZero(s *Snapshot) bool { return s.Gates.ScaleToZero && s.HPA.Status.ScaledToZero }

// disabled tells whether the target stands at a zero that we leave alone.
func disabled(s *Snapshot) bool {
	return s.Scale.Spec == 0 && (!ownZero(s) || s.HPA.Min == 0 && !wakes(s))
}

func outOfBounds(s *Snapshot) bool {
	return s.Scale.Spec != 0 && (s.Scale.Spec > s.HPA.Max || s.Scale.Spec < s.HPA.Min) || leavesZeroAtOnce(s)
}

// NeedsMetrics tells whether the decision will look at pods and samples. An
// observer that knows the rest of the snapshot, the policy among it, spares
// itself the queries otherwise.
func NeedsMetrics(s *Snapshot) bool {
	if s.Policy != nil {
		laid, in := *s, limitsOf(s)
		laid.Policy, laid.Mode = &Policy{Windows: s.Policy.Windows}, modeOf(s)
		laid.HPA.Min, laid.HPA.Max = in.Min, in.Max
		return laid.Mode != ModeOff && needsMetrics(&laid)
	}
	return needsMetrics(s)
}

func needsMetrics(s *Snapshot) bool {
	// Without the state a contested object counts as ours sooner: its metrics are
	// asked for in vain then.
	return !(s.Mode == ModeAuto && otherWriter(s, State{}) != nil) &&
		s.Scale.Error == "" && !disabled(s) && !outOfBounds(s) && selectorError(s) == nil
}

func manualZero(t *turn) verdict {
	if !disabled(t.s) {
		return proceed
	}
	const message = "scaling is disabled since the replica count of the target is zero"
	t.condition(ScalingActive, decision.False, ReasonDisabled, message)
	t.step(0, ReasonDisabled, message)
	t.d.Reason, t.d.Message = ReasonDisabled, message
	return settled
}

func aboveMax(t *turn) verdict {
	if t.current == 0 || t.current <= t.s.HPA.Max {
		return proceed
	}
	t.desired = t.current
	t.d.Cause = "Current number of replicas above Spec.MaxReplicas"
	if t.limits.MaxBy != "" {
		t.d.Cause = "Current number of replicas above the maximum of schedule " + t.limits.MaxBy
	}
	t.step(t.s.HPA.Max, behavior.ReasonTooMany, t.d.Cause)
	t.desired = t.s.HPA.Max
	return settled
}

func belowMin(t *turn) verdict {
	if t.current >= t.s.HPA.Min || t.current == 0 && !leavesZeroAtOnce(t.s) {
		return proceed
	}
	t.desired = t.current
	t.d.Cause = t.belowMinCause()
	t.step(t.s.HPA.Min, behavior.ReasonTooFew, t.d.Cause)
	t.desired = t.s.HPA.Min
	return settled
}

func (t *turn) belowMinCause() string {
	if t.limits.MinBy != "" {
		return "Current number of replicas below the minimum of schedule " + t.limits.MinBy
	}
	return "Current number of replicas below Spec.MinReplicas"
}

var errNoSelector = errors.New("selector is required")

func selectorError(s *Snapshot) error {
	switch {
	case s.Scale.Selector == "":
		return errNoSelector
	case s.Scale.SelectorError != "":
		return fmt.Errorf("couldn't convert selector into a corresponding internal selector object: %s", s.Scale.SelectorError)
	}
	return nil
}

// shownRivals is how many of the overlapping HPAs are named.
const shownRivals = 2

func selectPods(t *turn) verdict {
	if err := selectorError(t.s); errors.Is(err, errNoSelector) {
		return t.noPods("SelectorRequired", "InvalidSelector", err.Error(), "the HPA target's scale is missing a selector")
	} else if err != nil {
		return t.noPods("InvalidSelector", "InvalidSelector", err.Error(), err.Error())
	}
	if len(t.s.Rivals) > 1 {
		text := fmt.Sprintf("pods by selector %v are controlled by more than one HPA (e.g. %v)",
			t.s.Scale.Selector, t.s.Rivals[:min(shownRivals, len(t.s.Rivals))])
		return t.noPods("AmbiguousSelector", "AmbiguousSelector", text, text)
	}
	return proceed
}

// noPods blocks where it is not known which pods to look at.
func (t *turn) noPods(event, reason, text, shown string) verdict {
	t.warn(event, text)
	t.condition(ScalingActive, decision.False, reason, shown)
	t.fault("selector of "+t.s.HPA.Target.text(), reason, text)
	return t.noCount(text)
}

// noCount blocks a turn whose scale is known, and shows what is.
func (t *turn) noCount(text string) verdict {
	t.warn(ReasonNoMetrics, text)
	t.block(ReasonNoMetrics, text)
	t.d.Status.Scope = ScopeAll
	t.d.Status.CurrentReplicas, t.d.Status.DesiredReplicas = t.current, t.d.DesiredBefore
	return blocked
}
