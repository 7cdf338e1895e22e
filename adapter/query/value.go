package query

import (
	"fmt"
	"math"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// MaxSecondsToDrain caps SecondsToDrain: one day says "not soon" as well as any
// greater number does.
const MaxSecondsToDrain = 24 * 60 * 60

// measured is a value with the length of time it was measured over.
type measured struct {
	value         float64
	windowSeconds int64
}

// inputs are what the values of one object are computed from.
type inputs struct {
	source  string
	reading *Reading
	window  Window
}

// value computes one kind of value, or says why there is none. A value that is
// given is always finite.
func (in inputs) value(kind Kind) (measured, *decision.Fault) {
	got, fault := in.compute(kind)
	if fault == nil && (math.IsNaN(got.value) || math.IsInf(got.value, 0)) {
		return measured{}, in.fault("NotANumber", "%s comes out as no finite number", kind)
	}
	return got, fault
}

func (in inputs) compute(kind Kind) (measured, *decision.Fault) {
	switch kind {
	case Depth:
		return in.depth()
	case OldestAge:
		return in.oldestAge()
	case ArrivalRate:
		return in.rate(kind, in.window.arrivals())
	case DrainRate:
		return in.rate(kind, in.window.drains())
	case SecondsToDrain:
		return in.secondsToDrain()
	}
	return in.gauge(kind)
}

func (in inputs) fault(reason, format string, args ...any) *decision.Fault {
	return &decision.Fault{Source: in.source, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func (in inputs) gauge(kind Kind) (measured, *decision.Fault) {
	g := in.reading.Gauges[kind]
	switch g.Presence {
	case Number:
		return measured{value: g.Value}, nil
	case Empty:
		return measured{}, in.fault("EmptyReply", "the source answered without a value for %s", kind)
	case NotANumber:
		return measured{}, in.fault("NotANumber", "the source answered with a value for %s that is not a finite number", kind)
	}
	return measured{}, in.fault("ValueNotGiven", "the source does not give %s", kind)
}

// depth is the source's own, or else what waits and what is worked on.
func (in inputs) depth() (measured, *decision.Fault) {
	if _, own := in.reading.Gauges[Depth]; own {
		return in.gauge(Depth)
	}
	pending, fault := in.gauge(Pending)
	if fault != nil {
		return measured{}, fault
	}
	ackPending, fault := in.gauge(AckPending)
	if fault != nil {
		return measured{}, fault
	}
	return measured{value: pending.value + ackPending.value}, nil
}

// oldestAge of a queue that was measured to be empty is 0: nothing in it has
// waited at all.
func (in inputs) oldestAge() (measured, *decision.Fault) {
	age, fault := in.gauge(OldestAge)
	if fault == nil {
		return age, nil
	}
	if depth, none := in.depth(); none == nil && depth.value == 0 {
		return measured{}, nil
	}
	return measured{}, fault
}

func (in inputs) rate(kind Kind, r rate) (measured, *decision.Fault) {
	if r.seconds <= 0 {
		return measured{}, in.fault(ReasonRateUnknown, "%s is not known yet: it is measured between readings, and there are too few", kind)
	}
	return measured{value: r.perSecond, windowSeconds: max(1, int64(math.Round(r.seconds)))}, nil
}

// secondsToDrain is depth over the measured drain rate. An empty queue is
// drained whatever the rate; a queue that holds messages and does not drain has
// no such value.
func (in inputs) secondsToDrain() (measured, *decision.Fault) {
	depth, fault := in.depth()
	if fault != nil {
		return measured{}, fault
	}
	if depth.value == 0 {
		return measured{}, nil
	}
	drain, fault := in.rate(DrainRate, in.window.drains())
	if fault != nil {
		return measured{}, fault
	}
	if drain.value == 0 {
		return measured{}, in.fault("NoDrain", "%s messages are in the queue and none was done with in the last %d s: there is no time to drain to tell",
			number(depth.value), drain.windowSeconds)
	}
	return measured{
		value:         min(depth.value/drain.value, MaxSecondsToDrain),
		windowSeconds: drain.windowSeconds,
	}, nil
}
