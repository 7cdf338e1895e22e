package replicas

import (
	"errors"
	"fmt"
	"time"
)

var (
	errNoPods    = errors.New("no pods returned by selector while calculating replica count")
	errNoSamples = errors.New("did not receive metrics for targeted pods (pods might be unready)")
	errNoMatch   = errors.New("no metrics returned matched known pods")
)

// reading is what a metric says: the usage as the status shows it, and the
// count that it asks for.
type reading struct {
	replicas int32
	// usage is in thousandths: an average per pod, or the total for a Value.
	usage int64
	// percent is the utilization, for percentage targets only.
	percent int32
	// reason and note are for the step.
	reason, note string
}

// Reasons of a metric's step.
const (
	reasonAbove         = "AboveTarget"
	reasonBelow         = "BelowTarget"
	reasonTolerated     = "WithinTolerance"
	reasonDirectionHeld = "DirectionHeld"
)

// tolerance is the deviation from 1 that a usage ratio may have either way.
type tolerance struct{ down, up float64 }

func tolerances(s *Snapshot) tolerance {
	t := tolerance{down: s.Config.Tolerance, up: s.Config.Tolerance}
	if b := s.HPA.Behavior; b != nil {
		if b.Down.Tolerance != nil {
			t.down = *b.Down.Tolerance
		}
		if b.Up.Tolerance != nil {
			t.up = *b.Up.Tolerance
		}
	}
	return t
}

func (t tolerance) covers(ratio float64) bool {
	return 1.0-t.down <= ratio && ratio <= 1.0+t.up
}

// measure gives the usage ratio of a tally: with, of the pods that have no say,
// those that the direction lets count.
type measure func(withMissing, busy, withUnready bool) (ratio float64, usage int64, percent int32, err error)

// utilization measures against a percentage of the requests.
func (t *tally) utilization(target int32) measure {
	return func(withMissing, busy, withUnready bool) (float64, int64, int32, error) {
		usage, requests, n := t.usage, t.requests[ready], t.counts[ready]
		if withMissing {
			requests = requests.plus(t.requests[missing])
			n += t.counts[missing]
			if busy {
				usage = usage.plus(t.missingFull)
			}
		}
		if withUnready {
			requests = requests.plus(t.requests[unready])
			n += t.counts[unready]
		}
		if requests.zero() || requests.negative() {
			return 0, 0, 0, errNoMatch
		}
		percent := usage.percentOf(requests)
		return float64(percent) / float64(target), usage.quo(int64(n)), percent, nil
	}
}

// average measures against a value per pod, in thousandths.
func (t *tally) average(target int64) measure {
	return func(withMissing, busy, withUnready bool) (float64, int64, int32, error) {
		usage, n := t.usage.plus(t.strangersUsage), t.samples()
		if withMissing {
			n += t.counts[missing]
			if busy {
				for range t.counts[missing] {
					usage.add(target)
				}
			}
		}
		if withUnready {
			n += t.counts[unready]
		}
		average := usage.quo(int64(n))
		return float64(average) / float64(target), average, 0, nil
	}
}

// perPod turns a measure into a count. Pods that have no say may damp a change
// and never turn it round.
func (t *tally) perPod(current int32, tol tolerance, m measure) (reading, error) {
	ratio, usage, percent, err := m(false, false, false)
	if err != nil {
		return reading{}, err
	}
	out := reading{usage: usage, percent: percent, note: fmt.Sprintf("ratio %.3g; %s", ratio, t)}
	withUnready := t.counts[unready] > 0 && ratio > 1
	if !withUnready && t.counts[missing] == 0 {
		return out.settle(current, pods(ratio, t.counts[ready]), ratio, tol), nil
	}
	withMissing := t.counts[missing] > 0 && ratio != 1
	damped, usage, percent, err := m(withMissing, ratio < 1, withUnready)
	if err != nil {
		return reading{}, err
	}
	// The status shows what was decided by.
	out.usage, out.percent = usage, percent
	out.note = fmt.Sprintf("ratio %.3g, %.3g with pods that have no say; %s", ratio, damped, t)
	n := t.samples()
	if withMissing {
		n += t.counts[missing]
	}
	if withUnready {
		n += t.counts[unready]
	}
	wanted := pods(damped, n)
	if (ratio < 1 && damped > 1) || (ratio > 1 && damped < 1) ||
		(!tol.covers(damped) && ((damped < 1 && wanted > current) || (damped > 1 && wanted < current))) {
		out.replicas, out.reason = current, reasonDirectionHeld
		return out, nil
	}
	return out.settle(current, wanted, damped, tol), nil
}

// settle takes the wanted count, or the current one where the ratio is tolerated.
func (r reading) settle(current, wanted int32, ratio float64, tol tolerance) reading {
	switch {
	case tol.covers(ratio):
		r.replicas, r.reason = current, reasonTolerated
	case ratio > 1:
		r.replicas, r.reason = wanted, reasonAbove
	default:
		r.replicas, r.reason = wanted, reasonBelow
	}
	return r
}

// ago tells the age of a sample in whole seconds.
func ago(now, at time.Time) string {
	if at.IsZero() {
		return "sample without a time"
	}
	return fmt.Sprintf("sample %ds old", int64(now.Sub(at)/time.Second))
}
