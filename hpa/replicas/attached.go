package replicas

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Reasons of the condition Policed and of the steps of policies.
const (
	ReasonOff        = "Off"
	ReasonRecommends = "Recommends"
	ReasonPaused     = "Paused"
	ReasonFallback   = "FallbackInForce"
	ReasonScheduled  = "ScheduleInForce"
	ReasonUnreadable = "SpecNotReadable"
	ReasonAttached   = "Attached"
)

// caution orders the modes, the most cautious first.
var caution = []string{ModeOff, ModeRecommend, ModeAuto}

// modeOf is the more cautious of the policy's mode and the binary's. A mode of
// the policy that is not known counts as unset.
func modeOf(s *Snapshot) string {
	if s.Policy == nil {
		return s.Mode
	}
	policy := slices.Index(caution, cmp.Or(s.Policy.Mode, ModeAuto))
	binary := slices.Index(caution, s.Mode)
	if policy < 0 || policy >= binary {
		return s.Mode
	}
	return caution[policy]
}

// chooseMode takes the policy's mode where it is more cautious than the binary's.
func chooseMode(t *turn) verdict {
	mode := modeOf(t.s)
	if mode == t.s.Mode {
		return proceed
	}
	t.s.Mode = mode
	if mode == ModeRecommend {
		t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: ReasonRecommends,
			Message: t.s.Policy.Source + ": mode Recommend, changes are shown and not made"})
		return proceed
	}
	t.block(ReasonOff, t.s.Policy.Source+": "+textOff)
	t.d.Failure = ""
	t.d.Status.Scope = ScopeConditions
	return blocked
}

const textOff = "mode Off: the target is left alone"

// attach shows the policy that is attached: the condition Policed, whose reason
// is the first that holds and whose message tells all that do.
func (t *turn) attach() {
	p := t.s.Policy
	if p == nil {
		return
	}
	reason := ReasonAttached
	var parts []string
	add := func(why, text string) {
		if reason == ReasonAttached {
			reason = why
		}
		parts = append(parts, text)
	}
	if p.Fault != "" {
		add(ReasonUnreadable, p.Fault)
	}
	switch {
	case t.s.Mode == ModeOff:
		add(ReasonOff, textOff)
	case t.d.Reason == ReasonOtherWriter:
		parts = append(parts, "not applied while another controller acts on the object")
	default:
		if t.s.Mode == ModeRecommend {
			add(ReasonRecommends, "mode Recommend: changes are shown and not made")
		}
		if p.Pause.runs(t.s.Now) {
			add(ReasonPaused, p.Pause.text())
		}
		switch {
		case t.fallback.inForce:
			add(ReasonFallback, t.fallback.text)
		case t.fallback.text != "":
			parts = append(parts, t.fallback.text)
		}
		if t.limits.scheduled() {
			add(ReasonScheduled, t.scheduleText())
		} else if len(p.Windows) > 0 {
			parts = append(parts, t.scheduleText())
		}
		if t.widened != "" {
			parts = append(parts, t.widened)
		}
	}
	if len(parts) == 0 {
		parts = []string{"attached"}
	}
	t.condition(Policed, decision.True, reason, fmt.Sprintf("%s: %s", p.Source, strings.Join(parts, "; ")))
}
