package query

import (
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// StalePolicy is what becomes of a sample that is older than maxAge.
type StalePolicy string

// The stale policies. Anything else, the empty policy included, is StaleError.
const (
	// StaleError answers with an error.
	StaleError StalePolicy = "Error"
	// StaleHold goes on serving the last sample.
	StaleHold StalePolicy = "Hold"
	// StaleFloor serves the greater of the last sample and the floor.
	StaleFloor StalePolicy = "Floor"
)

// Reasons of conditions Fresh and Ready while a policy stands in for a fresh sample.
const (
	ReasonHeld    = "Held"
	ReasonFloored = "Floored"
)

// OnStale is spec.onStale. A policy stands in for a sample that is too old and
// for no other fault: where nothing was ever measured, or where the source
// answered without a number, there is nothing to hold and nothing to raise to a
// floor, and the read is an error under every policy.
type OnStale struct {
	Policy StalePolicy `json:"policy,omitempty"`
	// Floor is the least value that StaleFloor serves.
	Floor float64 `json:"floor,omitempty"`
	// AtMost is how long after maxAge the policy stands in; nil: without an end.
	AtMost *time.Duration `json:"atMost,omitempty"`
}

func (o OnStale) equal(other OnStale) bool {
	return o.Policy == other.Policy && o.Floor == other.Floor && equalPtr(o.AtMost, other.AtMost)
}

// standsIn tells whether the policy serves what is older than maxAge by so much.
func (o OnStale) standsIn(over time.Duration) bool {
	switch o.Policy {
	case StaleHold, StaleFloor:
		return over > 0 && (o.AtMost == nil || over <= *o.AtMost)
	}
	return false
}

// reason is what condition Fresh says while the policy stands in.
func (o OnStale) reason() string {
	if o.Policy == StaleFloor {
		return ReasonFloored
	}
	return ReasonHeld
}

// StandsIn tells whether, at the time now, the policy stands in for a sample
// that was measured at a time.
func (f Facts) StandsIn(at, now Time) bool {
	return !at.IsZero() && f.OnStale.standsIn(now.Sub(at)-f.MaxAge)
}

// Serve gives what a read at the time now is answered with, or why it is an
// error. The sample's time is Facts.SampledAt whatever the policy: a value that is
// held or floored never looks newer than what it was made from.
func Serve(s Sample, f Facts, now Time) (Sample, *decision.Fault) {
	if fault := Judge(s, f, now); fault != nil {
		s.Value, s.WindowSeconds, s.Fault = 0, 0, fault
		return s, fault
	}
	s.Value = f.Raise(s.Value, f.SampledAt, now)
	return s, nil
}

// Raise gives the value that is served at the time now for one that was measured
// at a time and may be served: itself, or the floor where the policy says so and
// the floor is greater.
func (f Facts) Raise(value float64, at, now Time) float64 {
	if f.OnStale.Policy == StaleFloor && f.StandsIn(at, now) {
		return max(value, f.OnStale.Floor)
	}
	return value
}

// staleText says of a sample of an age that it is too old, and where a policy
// stood in before, that it does no longer.
func (f Facts) staleText(age time.Duration) string {
	text := fmt.Sprintf("the last sample is %s old, older than maxAge %s", round(age), f.MaxAge)
	if f.OnStale.AtMost != nil && (f.OnStale.Policy == StaleHold || f.OnStale.Policy == StaleFloor) {
		text += fmt.Sprintf(" and the %s for which policy %s stands in", *f.OnStale.AtMost, f.OnStale.Policy)
	}
	return text
}

// standingText says what the policy does now and until when.
func (f Facts) standingText() string {
	until := ""
	if f.OnStale.AtMost != nil {
		until = " until " + f.SampledAt.Add(f.MaxAge).Add(*f.OnStale.AtMost).Format(time.RFC3339)
	}
	if f.OnStale.Policy == StaleFloor {
		return fmt.Sprintf("policy Floor serves the greater of it and %s%s", number(f.OnStale.Floor), until)
	}
	return "policy Hold serves it on" + until
}

// standIn says in steps what the policy makes of the samples that it stands in
// for.
func (d *deciding) standIn() {
	f := d.served.Facts
	d.step(ruleFreshness, f.OnStale.reason(), "the sample is older than maxAge %s; %s", f.MaxAge, f.standingText())
	if f.OnStale.Policy != StaleFloor {
		return
	}
	for _, s := range d.served.Samples {
		if s.Fault != nil || s.Value >= f.OnStale.Floor {
			continue
		}
		d.steps = append(d.steps, decision.Step{
			Rule: ruleFreshness, In: number(s.Value), Out: number(f.OnStale.Floor), Reason: ReasonFloored,
			Message: fmt.Sprintf("metric %s is served as the floor %s in place of its last sample %s",
				s.Metric, number(f.OnStale.Floor), number(s.Value)),
		})
	}
}

// standingFresh is condition Fresh while a policy stands in, with the last
// sample's time and not its age.
func (d *deciding) standingFresh() decision.Condition {
	f := d.served.Facts
	return decision.Condition{
		Type: ConditionFresh, Status: decision.False, Reason: f.OnStale.reason(),
		Message: fmt.Sprintf("the last sample is of %s and maxAge is %s; %s; %s",
			f.SampledAt.Format(time.RFC3339), f.MaxAge, f.standingText(), d.whyNot()),
	}
}
