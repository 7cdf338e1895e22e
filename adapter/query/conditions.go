package query

import (
	"fmt"
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Types of the conditions of a MetricSource. They are those of the API.
const (
	ConditionReady           = "Ready"
	ConditionFresh           = "Fresh"
	ConditionSourceReachable = "SourceReachable"
)

// conditions are Ready, Fresh and SourceReachable, in this order. Their
// messages give times and not ages, so that they stay the same while nothing
// changes.
func (d *deciding) conditions() []decision.Condition {
	return []decision.Condition{d.ready(), d.fresh(), d.reachable()}
}

// ready is the first thing wrong, in order of what a reader can do about it.
func (d *deciding) ready() decision.Condition {
	no := func(reason, format string, args ...any) decision.Condition {
		return decision.Condition{Type: ConditionReady, Status: decision.False, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	fresh := d.fresh()
	switch {
	case d.in.SpecFault != nil && d.lastGood():
		return no(d.in.SpecFault.Reason, "%s; generation %d stays in force", d.in.SpecFault.Message, d.in.Spec.Generation)
	case d.in.SpecFault != nil:
		return no(d.in.SpecFault.Reason, "%s", d.in.SpecFault.Message)
	case d.blocked() != "":
		return no(ReasonOtherWriter, "%s", d.blocked())
	case len(d.taken) > 0:
		return no("MetricNameTaken", "%s", d.takenText())
	case fresh.Status == decision.Unknown:
		return decision.Condition{Type: ConditionReady, Status: decision.Unknown, Reason: fresh.Reason, Message: fresh.Message}
	case fresh.Status != decision.True && !d.standing:
		return no(fresh.Reason, "%s", fresh.Message)
	case d.missing > d.measuring:
		return no("ValueMissing", "%s", d.missingText())
	case d.missing > 0:
		return decision.Condition{Type: ConditionReady, Status: decision.Unknown, Reason: ReasonRateUnknown, Message: d.missingText()}
	case d.in.Mode != ModeAuto:
		return no("NotServed", "mode is %s: values are shown here and are not served", d.in.Mode)
	}
	if d.standing {
		return decision.Condition{Type: ConditionReady, Status: decision.True, Reason: fresh.Reason, Message: fresh.Message}
	}
	return decision.Condition{Type: ConditionReady, Status: decision.True, Reason: "Serving",
		Message: list(append([]string{"every metric is served"}, d.shared...))}
}

func (d *deciding) takenText() string {
	var text []string
	for _, metric := range d.in.Spec.Metrics {
		if holder, ok := d.taken[metric.Name]; ok {
			text = append(text, fmt.Sprintf("metric %s is served by the older %s %s", metric.Name, d.in.Unit.Kind, holder))
		}
	}
	return list(text)
}

func (d *deciding) missingText() string {
	var text []string
	for _, s := range d.served.Samples {
		if s.Fault != nil {
			text = append(text, fmt.Sprintf("metric %s: %s (%s)", s.Metric, d.steady(s), s.Fault.Reason))
		}
	}
	if d.in.Poll.Reading != nil {
		for _, f := range d.in.Poll.Reading.Faults {
			text = append(text, fmt.Sprintf("%s (%s)", f.Message, f.Reason))
		}
	}
	return list(text)
}

// steady is a fault's message without the numbers that change at each poll.
func (d *deciding) steady(s Sample) string {
	if s.Fault.Reason == "NoDrain" {
		return "the queue holds messages and none is done with"
	}
	return s.Fault.Message
}

func (d *deciding) fresh() decision.Condition {
	c := decision.Condition{Type: ConditionFresh}
	facts := d.served.Facts
	switch {
	case facts.SampledAt.IsZero() && d.in.SpecFault == nil && !d.in.Poll.Failing:
		c.Status, c.Reason, c.Message = decision.Unknown, ReasonNoSample, "the source has not been polled yet"
	case facts.SampledAt.IsZero():
		c.Status, c.Reason = decision.False, ReasonNoSample
		c.Message = "there is no sample; " + d.whyNot()
	case d.stale != nil:
		c.Status, c.Reason = decision.False, d.stale.Reason
		c.Message = fmt.Sprintf("the last sample is of %s and maxAge is %s; %s",
			facts.SampledAt.Format(time.RFC3339), facts.MaxAge, d.whyNot())
	case d.standing:
		return d.standingFresh()
	default:
		c.Status, c.Reason = decision.True, "Fresh"
		c.Message = fmt.Sprintf("samples are not older than maxAge %s", facts.MaxAge)
	}
	return c
}

// whyNot is the last failure without its time, which changes at each poll.
func (d *deciding) whyNot() string {
	switch f := d.in.Poll.LastFailure; {
	case d.in.SpecFault != nil && d.in.Poll.Reading == nil:
		return d.in.SpecFault.Message
	case f != nil:
		return fmt.Sprintf("last failure: %s (%s)", f.Message, f.Reason)
	}
	return "no poll has failed"
}

func (d *deciding) reachable() decision.Condition {
	c := decision.Condition{Type: ConditionSourceReachable}
	poll := d.in.Poll
	switch {
	case poll.Failing && poll.LastFailure != nil:
		c.Status, c.Reason, c.Message = decision.False, poll.LastFailure.Reason, poll.LastFailure.Message
	case poll.Reading == nil:
		c.Status, c.Reason, c.Message = decision.Unknown, "NotPolledYet", "the source has not been polled yet"
	default:
		c.Status, c.Reason, c.Message = decision.True, "Read", "the last poll read the source"
	}
	return c
}

// Find gives the condition of a type, or false where the decision has none.
func (d Decision) Find(conditionType string) (decision.Condition, bool) {
	i := slices.IndexFunc(d.Conditions, func(c decision.Condition) bool { return c.Type == conditionType })
	if i < 0 {
		return decision.Condition{}, false
	}
	return d.Conditions[i], true
}
