package replicas

import (
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// fallback is what a turn without any metric knows of the policy's.
type fallback struct {
	// lost tells that no metric gave a count this turn.
	lost bool
	// inForce tells that the fallback gives the count.
	inForce bool
	// text tells both, empty where there is nothing to tell.
	text string
}

// text names the fallback as messages quote it: "AtLeast 20".
func (f *Fallback) text() string {
	if f.Policy == FallbackHold {
		return f.Policy
	}
	return fmt.Sprintf("%s %d", f.Policy, f.Replicas)
}

// count is what the fallback makes of the current count.
func (f *Fallback) count(current int32) int32 {
	switch f.Policy {
	case FallbackReplicas:
		return f.Replicas
	case FallbackAtLeast:
		return max(current, f.Replicas)
	case FallbackAtMost:
		return min(current, f.Replicas)
	}
	return current
}

// loseMetrics notes since when no metric gave a count. The turn goes on to the
// fallback where there is one.
func (t *turn) loseMetrics(v verdict) verdict {
	if t.state.MetricsLostAt.IsZero() {
		t.d.Observed.MetricsLostAt = t.s.Now
	}
	if t.s.Policy == nil || t.s.Policy.Fallback == nil {
		return v
	}
	t.fallback.lost = true
	return proceed
}

func (t *turn) findMetrics() {
	if !t.state.MetricsLostAt.IsZero() {
		t.d.Observed.MetricsFound = true
	}
}

func (t *turn) lostAt() time.Time {
	if t.state.MetricsLostAt.IsZero() {
		return t.s.Now
	}
	return t.state.MetricsLostAt
}

// fallBack gives a count where no metric has for long enough. It is inside the
// bounds; rates, delays and pauses follow.
func fallBack(t *turn) verdict {
	if !t.fallback.lost {
		return proceed
	}
	f, since := t.s.Policy.Fallback, t.lostAt()
	begins := since.Add(f.After)
	if t.s.Now.Before(begins) {
		t.fallback.text = fmt.Sprintf("fallback %s comes into force at %s: no metric since %s", f.text(), instant(begins), instant(since))
		t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, In: count(t.current), Out: count(t.current),
			Reason: "FallbackWaits", Message: t.fallback.text})
		return blocked
	}
	// There is a count after all.
	t.d.Reason, t.d.Message = "", ""
	t.fallback.inForce = true
	t.fallback.text = fmt.Sprintf("fallback %s is in force since %s: no metric since %s", f.text(), instant(begins), instant(since))
	wanted := max(min(f.count(t.current), t.s.HPA.Max), t.s.HPA.Min)
	t.step(wanted, ReasonFallback, t.fallback.text)
	t.warn(ReasonFallback, t.fallback.text)
	t.desired, t.why = wanted, t.fallback.text
	if wanted != t.current {
		t.d.Cause = t.fallback.text
	}
	return proceed
}
