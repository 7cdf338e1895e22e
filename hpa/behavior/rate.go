package behavior

import (
	"math"
	"slices"
	"time"
)

// Event is one change of the count that was carried out.
type Event struct {
	At time.Time `json:"at"`
	// Change is the number of replicas added or taken, never negative.
	Change int32 `json:"change"`
	// Outdated marks an event whose place may be used again.
	Outdated bool `json:"outdated,omitempty"`
}

// Record gives the events with one more. Events older than the longest period
// of the policies are marked outdated, and the last of these gives its place. It
// does not change its argument.
func Record(events []Event, e Event, longestPeriod int32) []Event {
	cutoff := e.At.Add(-seconds(longestPeriod))
	out := slices.Clone(events)
	place := -1
	for i := range out {
		if out[i].At.Before(cutoff) {
			out[i].Outdated = true
		}
		if out[i].Outdated {
			place = i
		}
	}
	if place < 0 {
		return append(out, e)
	}
	out[place] = e
	return out
}

// changed sums the changes inside the period that ends now.
func changed(events []Event, now time.Time, periodSeconds int32) int64 {
	cutoff := now.Add(-seconds(periodSeconds))
	var sum int64
	for _, e := range events {
		if e.At.After(cutoff) {
			sum += int64(e.Change)
		}
	}
	return sum
}

// Changes is what was carried out in the past and the time it is seen from.
type Changes struct {
	Now        time.Time
	Ups, Downs []Event
}

// The factor and the floor of a scale-up without spec.behavior.
const (
	plainUpFactor = 2
	plainUpFloor  = 4
)

// LimitPlain bounds the proposal of an object without spec.behavior: the spec's
// bounds, and upwards twice the current count or 4.
func LimitPlain(r Range, proposal int32) Result {
	ceiling, reason, message := r.Max, ReasonTooMany, messageTooMany
	if limit := clamp(max(plainUpFactor*int64(r.Current), plainUpFloor)); r.Max > limit {
		ceiling, reason, message = limit, ReasonUpLimit, messageUpLimit
	}
	switch {
	case proposal < r.Min:
		return Result{Replicas: r.Min, Reason: ReasonTooFew, Message: messageTooFew, Limited: true}
	case proposal > ceiling:
		return Result{Replicas: ceiling, Reason: reason, Message: message, Limited: true}
	}
	return withinRange(proposal)
}

// Limit bounds the proposal of an object with spec.behavior by the policies of
// its direction and the spec's bound.
func Limit(b Behavior, r Range, past Changes, proposal int32) Result {
	switch {
	case proposal > r.Current:
		return limitUp(b.Up, r, past, proposal)
	case proposal < r.Current:
		return limitDown(b.Down, r, past, proposal)
	}
	return withinRange(proposal)
}

func limitUp(rules Rules, r Range, past Changes, proposal int32) Result {
	ceiling, reason, message := r.Max, ReasonTooMany, messageTooMany
	if limit := max(UpLimit(rules, r.Current, past), r.Current); r.Max > limit {
		ceiling, reason, message = limit, ReasonUpLimit, messageUpLimit
	}
	if proposal > ceiling {
		return Result{Replicas: ceiling, Reason: reason, Message: message, Limited: true}
	}
	return withinRange(proposal)
}

func limitDown(rules Rules, r Range, past Changes, proposal int32) Result {
	floor, reason, message := r.Min, ReasonTooFew, messageTooFew
	if limit := min(DownLimit(rules, r.Current, past), r.Current); r.Min < limit {
		floor, reason, message = limit, ReasonDownLimit, messageDownLimit
	}
	if proposal < floor {
		return Result{Replicas: floor, Reason: reason, Message: message, Limited: true}
	}
	return withinRange(proposal)
}

func withinRange(proposal int32) Result {
	return Result{Replicas: proposal, Reason: ReasonWithinRange, Message: messageWithinRange}
}

// UpLimit is the highest count that the policies allow now. It is below the
// current count where more was added in the period than they allow.
func UpLimit(rules Rules, current int32, past Changes) int32 {
	if rules.Select == SelectDisabled {
		return current
	}
	best, choose := int32(math.MinInt32), larger
	if rules.Select == SelectMin {
		best, choose = math.MaxInt32, smaller
	}
	for _, p := range rules.Policies {
		start := periodStart(p, current, past)
		limit := start + int64(p.Value)
		if p.Type == Percent {
			// Rounded up: a small count would otherwise never grow.
			limit = ceiling(float64(start) * (1 + float64(p.Value)/100))
		}
		best = choose(best, clamp(limit))
	}
	return best
}

// DownLimit is the lowest count that the policies allow now.
func DownLimit(rules Rules, current int32, past Changes) int32 {
	if rules.Select == SelectDisabled {
		return current
	}
	best, choose := int32(math.MaxInt32), smaller
	if rules.Select == SelectMin {
		best, choose = math.MinInt32, larger
	}
	for _, p := range rules.Policies {
		start := periodStart(p, current, past)
		limit := start - int64(p.Value)
		if p.Type == Percent {
			limit = int64(float64(start) * (1 - float64(p.Value)/100))
		}
		best = choose(best, clamp(limit))
	}
	return best
}

// periodStart is the count at the start of the policy's period, as far as our
// own changes explain it.
func periodStart(p Policy, current int32, past Changes) int64 {
	return int64(current) - changed(past.Ups, past.Now, p.PeriodSeconds) + changed(past.Downs, past.Now, p.PeriodSeconds)
}

func larger(a, b int32) int32  { return max(a, b) }
func smaller(a, b int32) int32 { return min(a, b) }

// ceiling rounds up and stays inside what fits; the products here are far
// inside the exact range of a float64.
func ceiling(f float64) int64 { return int64(math.Ceil(f)) }

func clamp(n int64) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }
