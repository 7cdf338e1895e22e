package estimator

import (
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// conclude turns the recommendation into the decision.
func (t *turn) conclude() {
	changed := !t.d.To.Equal(t.d.From)
	switch {
	case t.off:
		t.d.Reason, t.d.Message = ReasonPolicyOff, t.s.Policy.Source()+": "+textOff
	case t.withheld:
		t.d.Reason, t.d.Message = ReasonOtherWriter, t.why
	case t.fetching:
		t.d.Reason, t.d.Message = FetchingHistory, t.s.Fetching
	case len(t.d.To) == 0:
		t.d.Reason, t.d.Message = ReasonNoSamples, "no container has a sample yet"
		if !t.matched {
			t.d.Reason, t.d.Message = NoPodsMatched, "no pods match and none were learned"
		}
	case changed && t.d.To.String() == t.d.From.String():
		t.d.Reason, t.d.Message = ReasonBounds, "the targets stay and the bounds move: "+t.d.To.String()
	case changed:
		t.d.Reason, t.d.Message = ReasonRecommended, "recommend "+t.d.To.String()
	default:
		t.d.Reason, t.d.Message = ReasonHold, "the recommendation stays"
	}
	t.d.Act = t.s.Mode == ModeAuto && !t.withheld && (changed || len(t.d.Checkpoints) > 0)
}

// show makes the conditions. What is withheld shows only that it is; in mode
// Recommend another recommender may own the status, so one condition is shown.
func (t *turn) show() {
	switch {
	case t.off:
		t.d.Conditions, t.d.Status.Scope = nil, ScopeConditions
	case t.s.Mode == ModeRecommend:
		t.d.Conditions, t.d.Status.Scope = nil, ScopeConditions
		t.recommends()
	case t.withheld:
		t.d.Status.Scope = ScopeConditions
		t.d.Conditions = slices.DeleteFunc(t.d.Conditions, func(c decision.Condition) bool { return c.Type != Acting })
	case t.fetching:
		t.d.Status.Scope = ScopeConditions
	default:
		t.provided()
		t.confidence()
		t.maximum()
		t.begun()
		if t.conflict.Type != "" {
			t.d.Conditions = append(t.d.Conditions, t.conflict)
		}
	}
	t.policed()
	t.withdraw()
}

func (t *turn) provided() {
	switch {
	case len(t.d.To) > 0:
		t.condition(RecommendationProvided, decision.True, "", "")
	case !t.matched:
		t.condition(RecommendationProvided, decision.False, NoPodsMatched, "No pods match this VPA object")
	default:
		t.condition(RecommendationProvided, decision.False, "", "")
	}
}

// fullAfter is the length of history from which both resources' bounds are no
// wider than they have to be.
func (t *turn) fullAfter() time.Duration {
	return max(t.s.Config.CPU.Confidence, t.s.Config.Memory.Confidence)
}

// confidence says which containers have so short a history that their bounds
// are still wide. The message changes only when the containers do.
func (t *turn) confidence() {
	if len(t.young) > 0 {
		t.condition(LowConfidence, decision.True, "ShortHistory",
			"less than "+t.fullAfter().String()+" of samples for "+list(t.young)+": the bounds are wide")
	}
}

func (t *turn) recommends() {
	switch {
	case len(t.d.To) == 0:
		t.condition(Recommends, decision.Unknown, "CannotDecide", "mode Recommend: "+t.d.Message)
	case t.d.To.Equal(t.d.From):
		t.condition(Recommends, decision.False, "WouldHold", "mode Recommend: would keep "+t.d.To.String())
	default:
		t.rule = "mode/recommend"
		t.step("Withheld", "mode Recommend: the recommendation is shown and not written")
		t.condition(Recommends, decision.True, "WouldRecommend", "mode Recommend: would recommend "+t.d.To.String())
	}
}

// withdraw removes conditions that no longer hold.
func (t *turn) withdraw() {
	owned := []string{Acting, Policed}
	if t.s.Mode != ModeRecommend {
		owned = append(owned, Recommends)
	}
	if t.d.Status.Scope == ScopeAll {
		owned = append(owned, FetchingHistory, NoPodsMatched, ConfigUnsupported, ConfigDeprecated, LowConfidence, OOMAtMaximum,
			ColdStart, Conflict)
	}
	for _, kind := range owned {
		holds := slices.ContainsFunc(t.d.Conditions, func(c decision.Condition) bool { return c.Type == kind })
		if !holds && slices.Contains(t.s.VPA.Conditions, kind) {
			t.d.Status.Withdrawn = append(t.d.Status.Withdrawn, kind)
		}
	}
	slices.Sort(t.d.Status.Withdrawn)
}
