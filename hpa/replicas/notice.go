package replicas

import (
	"slices"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Conditions that tell of what hurts and is no failure of a turn. Each is True
// while it holds and absent otherwise; an event tells when it begins.
const (
	// Oscillating: the count goes to and fro.
	Oscillating = "QuartetOscillating"
	// ReplicasWriter: another field manager sets the target's count.
	ReplicasWriter = "QuartetReplicasWriter"
	// Contended: something else acts on the target, or on what its metrics are
	// percentages of.
	Contended = "QuartetContended"
	// StrayPods: the selector matches pods that are not the target's.
	StrayPods = "QuartetStrayPods"
)

// Reasons of these conditions, and of the events that tell of their beginning.
const (
	ReasonOscillates         = "DirectionChanges"
	ReasonOtherFieldManager  = "OtherFieldManager"
	ReasonSharedTarget       = "SharedTarget"
	ReasonVerticalSameMetric = "VerticalSameMetric"
	ReasonMissingRequests    = "MissingRequests"
	ReasonOtherOwner         = "OtherOwner"
)

// Notices are the types of the conditions that only tell and change no count.
func Notices() []string { return []string{Oscillating, ReplicasWriter, Contended, StrayPods} }

// NoticeReasons are the reasons of these, which their events have too.
func NoticeReasons() []string {
	return []string{
		ReasonOscillates, ReasonOtherFieldManager, ReasonSharedTarget, ReasonVerticalSameMetric, ReasonMissingRequests, ReasonOtherOwner,
	}
}

// notice shows a condition of the kind, leaves a step, and tells an event where
// the object does not show the condition yet. The message must not hold what
// changes by itself, as an age does: each new text is a write of the status.
func (t *turn) notice(kind, reason, message string) {
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: reason, Message: message})
	t.condition(kind, decision.True, reason, message)
	if !t.shows(kind) {
		t.warn(reason, message)
	}
}

// shows tells whether the object shows a condition of our own making.
func (t *turn) shows(kind string) bool { return slices.Contains(t.s.HPA.Status.Shown, kind) }

// judge tells that this turn knows whether the notice holds. One that no turn
// judges stays as it is shown.
func (t *turn) judge(kind string) { t.judged = append(t.judged, kind) }

// unjudged tells whether a notice stays as it is shown. Beside another controller,
// and in mode Recommend, none does.
func (t *turn) unjudged(kind string) bool {
	return t.s.Mode == ModeAuto && t.d.Reason != ReasonOtherWriter &&
		slices.Contains(Notices(), kind) && !slices.Contains(t.judged, kind)
}
