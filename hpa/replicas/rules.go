package replicas

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// metricRule is the name of the steps of a metric type, as metric/external or
// metric/container-resource.
func metricRule(metricType string) string {
	var b strings.Builder
	b.WriteString("metric/")
	for i, r := range metricType {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// askMetrics asks every metric. One that fails blocks nothing yet.
func askMetrics(t *turn) verdict {
	t.desired = t.current
	if len(t.s.HPA.Metrics) == 0 {
		return t.noCount("no metrics are specified")
	}
	t.answers = make([]answer, len(t.s.HPA.Metrics))
	for i, m := range t.s.HPA.Metrics {
		a := ask(t.s, i)
		t.answers[i] = a
		p := Proposal{Type: m.Type, Name: m.Name, Replicas: a.replicas, At: t.s.Samples[Key(i)].At}
		t.rule = metricRule(m.Type)
		if f := a.failed; f != nil {
			p = Proposal{Type: m.Type, Name: m.Name, Failure: FailureInternal}
			if f.spec {
				p.Failure = FailureSpec
			}
			t.fault(strings.ToLower(m.Type)+" metric "+m.Name, f.reason, f.brief)
			t.warn(f.reason, f.brief)
			t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, In: count(t.current), Reason: f.reason, Message: f.brief})
		} else {
			t.d.Status.Metrics = append(t.d.Status.Metrics, a.status)
			t.step(a.replicas, a.reason, m.Name+": "+a.note)
		}
		t.d.Proposals = append(t.d.Proposals, p)
	}
	return proceed
}

// takeHighest takes the highest proposal. Where metrics failed it may only go up.
func takeHighest(t *turn) verdict {
	var highest int32
	var first *failure
	failed, winner := 0, -1
	for i := range t.answers {
		a := &t.answers[i]
		if a.failed != nil {
			failed++
			if first == nil {
				first = a.failed
			}
			continue
		}
		if highest == 0 || a.replicas > highest {
			highest, t.metric, winner = a.replicas, a.name, i
		}
	}
	if failed < len(t.answers) {
		t.findMetrics()
	}
	if first != nil {
		text := fmt.Sprintf("invalid metrics (%d invalid out of %d), first error is: %s", failed, len(t.answers), first.full)
		if failed >= len(t.answers) {
			return t.loseMetrics(t.noMetrics(first, text))
		}
		if highest < t.current {
			return t.noMetrics(first, text)
		}
		t.d.Failure = FailureInternal
		if first.spec {
			t.d.Failure = FailureSpec
		}
		t.step(highest, "SomeMetricsFailed", fmt.Sprintf("%d of %d metrics failed: the count may grow and not shrink", failed, len(t.answers)))
	} else if len(t.answers) > 1 {
		t.step(max(highest, 0), "HighestProposal", fmt.Sprintf("the highest of %d proposals, from %s", len(t.answers), t.metric))
	}
	t.condition(ScalingActive, decision.True, "ValidMetricFound",
		"the HPA was able to successfully calculate a replica count from "+t.metric)
	t.settleOn(highest)
	if winner >= 0 {
		t.why = t.answers[winner].note
	}
	return proceed
}

// settleOn takes the metrics' count as the desired one. A count below zero is
// none.
func (t *turn) settleOn(highest int32) {
	t.desired = max(highest, 0)
	switch {
	case t.desired > t.current:
		t.d.Cause = t.metric + " above target"
	case t.desired < t.current:
		t.d.Cause = "All metrics below target"
	}
}

func (t *turn) noMetrics(first *failure, text string) verdict {
	t.condition(ScalingActive, decision.False, first.reason, "the HPA was unable to compute the replica count: "+first.brief)
	v := t.noCount(text)
	if first.spec {
		t.d.Failure = FailureSpec
	}
	return v
}

func stabilize(t *turn) verdict {
	var r behavior.Result
	var slot behavior.Slot
	window := ""
	if b := t.s.HPA.Behavior; b != nil {
		r, slot = behavior.Stabilize(t.state.Recommendations, t.s.Now, *b, t.current, t.desired)
		window = fmt.Sprintf("windows of %ds up and %ds down", b.Up.WindowSeconds, b.Down.WindowSeconds)
	} else {
		r, slot = behavior.StabilizeDown(t.state.Recommendations, t.s.Now, t.s.Config.DownscaleStabilization, t.desired)
		window = fmt.Sprintf("window of %s down", t.s.Config.DownscaleStabilization)
	}
	t.d.Observed.Recommendation = &slot
	if t.fallback.inForce {
		// It is remembered, so that a first low sample after an outage is held
		// like any other, and not itself held by what was before the outage.
		return proceed
	}
	t.condition(AbleToScale, decision.True, r.Reason, r.Message)
	t.move(r, window+t.whenStable(r))
	return proceed
}

func limitRate(t *turn) verdict {
	bounds := behavior.Range{Current: t.current, Min: t.s.HPA.Min, Max: t.s.HPA.Max}
	var r behavior.Result
	if b := t.s.HPA.Behavior; b != nil {
		past := behavior.Changes{Now: t.s.Now, Ups: t.state.Ups, Downs: t.state.Downs}
		r = behavior.Limit(*b, bounds, past, t.desired)
	} else {
		r = behavior.LimitPlain(bounds, t.desired)
	}
	status := decision.False
	if r.Limited {
		status = decision.True
	}
	t.condition(ScalingLimited, status, r.Reason, r.Message)
	t.move(r, fmt.Sprintf("bounds %d to %d", bounds.Min, bounds.Max)+t.whenFree(r))
	return proceed
}

// move takes a result over as the desired count.
func (t *turn) move(r behavior.Result, within string) {
	t.step(r.Replicas, r.Reason, r.Message+" ("+within+")")
	if r.Limited {
		t.why = r.Message
	}
	t.desired = r.Replicas
}

// leaveZero lifts a count that leaves our own zero to a minimum that was raised
// meanwhile.
func leaveZero(t *turn) verdict {
	if t.current != 0 || t.s.HPA.Min == 0 || !ownZero(t.s) || t.desired >= t.s.HPA.Min {
		return proceed
	}
	t.step(t.s.HPA.Min, behavior.ReasonTooFew, t.belowMinCause())
	t.desired = t.s.HPA.Min
	if t.d.Cause == "" {
		t.d.Cause = t.belowMinCause()
	}
	return proceed
}

func delay(t *turn) verdict {
	d := behavior.Delays{
		Up: t.s.Config.UpscaleDelay, Down: t.s.Config.DownscaleDelay,
		LastUp: t.state.LastUp, LastDown: t.state.LastDown,
	}
	upBy, downBy := "", ""
	if p := t.s.Policy; p != nil && p.UpscaleDelay != nil {
		d.Up, upBy = *p.UpscaleDelay, ", by "+p.Source
	}
	if p := t.s.Policy; p != nil && p.DownscaleDelay != nil {
		d.Down, downBy = *p.DownscaleDelay, ", by "+p.Source
	}
	r, until := d.Hold(t.s.Now, t.current, t.desired)
	if !r.Limited {
		return proceed
	}
	by := downBy
	t.rule = "delay/down"
	if t.desired > t.current {
		t.rule, by = "delay/up", upBy
	}
	t.condition(AbleToScale, decision.False, r.Reason, r.Message)
	ends := clockTime(until)
	if by != "" {
		// Those of policies may last a day.
		ends = instant(until) + by
	}
	t.move(r, "until "+ends)
	return proceed
}
