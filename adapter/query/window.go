package query

import (
	"math"
	"slices"
	"time"
)

const (
	// rateWindow is the time that rates are measured over. It is long enough to
	// smooth single batches and short enough for a replica count to follow.
	rateWindow = 30 * time.Second
	// bucketsPerWindow bounds the memory of a window whatever the poll interval.
	bucketsPerWindow = 15
	// intervalsPerWindow widens the window of objects that are polled seldom.
	intervalsPerWindow = 3
)

// Window holds what rates are measured from: the newest reading's counters and
// the sums of the steps before it.
type Window struct {
	Last    *Mark    `json:"last,omitempty"`
	Buckets []Bucket `json:"buckets,omitempty"`
}

// Mark is the part of a reading that the next one is compared with.
type Mark struct {
	At         Time     `json:"at"`
	Epoch      string   `json:"epoch,omitempty"`
	Pending    float64  `json:"pending"`
	AckPending float64  `json:"ackPending"`
	Delivered  []uint64 `json:"delivered,omitempty"`
}

// Bucket sums the steps between readings from Start to End. A step whose
// arrivals or drains could not be told adds to neither sum nor seconds.
type Bucket struct {
	Start          Time    `json:"start"`
	End            Time    `json:"end"`
	Arrived        float64 `json:"arrived"`
	ArrivedSeconds float64 `json:"arrivedSeconds"`
	Drained        float64 `json:"drained"`
	DrainedSeconds float64 `json:"drainedSeconds"`
}

// windowSpan is the length of the rate window for a poll interval.
func windowSpan(interval time.Duration) time.Duration {
	return max(rateWindow, intervalsPerWindow*interval)
}

// WindowDelta is how one reading moves a window.
type WindowDelta struct {
	// Last is the new mark.
	Last Mark `json:"last"`
	// Step is added to the window; without one the window begins anew.
	Step *Bucket `json:"step,omitempty"`
	// Span is the window's length.
	Span time.Duration `json:"span,omitempty"`
}

// apply moves a window and changes neither argument.
func (w Window) apply(d WindowDelta) Window {
	if d.Step == nil {
		return Window{Last: &d.Last}
	}
	return Window{Last: &d.Last, Buckets: push(w.Buckets, *d.Step, d.Span)}
}

// advanceResult says what became of a reading.
type advanceResult struct {
	// delta is nil where the window stays as it is.
	delta  *WindowDelta
	reason string
	note   string
}

// advance tells how a reading moves the window. A reading without counters
// leaves it as it is; counters that went down, another epoch, a clock that went
// back or a gap longer than the window begin it anew: such a step says nothing
// about a rate, and a guess could be negative.
func advance(w Window, r *Reading, span time.Duration) advanceResult {
	mark, ok := markOf(r)
	if !ok {
		return advanceResult{nil, "NoCounters", "the reading has no counters to measure rates from"}
	}
	restart := func(reason, note string) advanceResult {
		return advanceResult{&WindowDelta{Last: mark}, reason, note}
	}
	last := w.Last
	switch {
	case last == nil:
		return restart("FirstReading", "rates need one more reading")
	case mark.At.Equal(last.At):
		return advanceResult{nil, "NoNewReading", "the reading is the one already counted"}
	case mark.At.Before(last.At):
		return restart("ClockWentBack", "the reading is older than the one before it: rates begin anew")
	case mark.At.Sub(last.At) > span:
		return restart("Gap", "no reading for longer than the rate window: rates begin anew")
	}
	delivered, ok := growth(*last, mark)
	if !ok {
		return restart("CounterReset", "the source's counters began anew, and so do rates")
	}
	step := stepBetween(*last, mark, delivered)
	return advanceResult{
		&WindowDelta{Last: mark, Step: &step, Span: span},
		"Counted", "the reading's counters were added to the rate window",
	}
}

func markOf(r *Reading) (Mark, bool) {
	if r == nil || len(r.Delivered) == 0 {
		return Mark{}, false
	}
	pending, ackPending := r.Gauges[Pending], r.Gauges[AckPending]
	if !countable(pending) || !countable(ackPending) {
		return Mark{}, false
	}
	return Mark{
		At: r.At, Epoch: r.Epoch, Pending: pending.Value, AckPending: ackPending.Value,
		Delivered: slices.Clone(r.Delivered),
	}, true
}

// countable tells whether a gauge can be a number of messages.
func countable(g Gauge) bool {
	return g.Presence == Number && g.Value >= 0 && g.Value <= math.MaxInt64
}

// growth is the smallest growth of the delivery counters, or false where they
// cannot be compared.
func growth(from, to Mark) (float64, bool) {
	if from.Epoch != to.Epoch || len(from.Delivered) != len(to.Delivered) {
		return 0, false
	}
	least := uint64(math.MaxUint64)
	for i, before := range from.Delivered {
		after := to.Delivered[i]
		if after < before {
			return 0, false
		}
		least = min(least, after-before)
	}
	return float64(least), true
}

// stepBetween balances one step: what was delivered left Pending, and what was
// delivered and is not in AckPending any more is done with. A negative balance
// means that messages went another way (a purge, a limit that discards), so
// that side of the step is not known and is left out.
func stepBetween(from, to Mark, delivered float64) Bucket {
	seconds := to.At.Sub(from.At).Seconds()
	step := Bucket{Start: from.At, End: to.At}
	if arrived := delivered + (to.Pending - from.Pending); arrived >= 0 {
		step.Arrived, step.ArrivedSeconds = arrived, seconds
	}
	if drained := delivered - (to.AckPending - from.AckPending); drained >= 0 {
		step.Drained, step.DrainedSeconds = drained, seconds
	}
	return step
}

// push appends a step, merges it into the newest bucket while that is short, and
// drops what ended before the window. The window is so up to one bucket longer
// than span.
func push(buckets []Bucket, step Bucket, span time.Duration) []Bucket {
	begin := step.End.Add(-span)
	kept := make([]Bucket, 0, len(buckets)+1)
	for _, b := range buckets {
		if b.End.After(begin) {
			kept = append(kept, b)
		}
	}
	if n := len(kept); n > 0 && step.End.Sub(kept[n-1].Start) <= span/bucketsPerWindow {
		b := &kept[n-1]
		b.End = step.End
		b.Arrived += step.Arrived
		b.ArrivedSeconds += step.ArrivedSeconds
		b.Drained += step.Drained
		b.DrainedSeconds += step.DrainedSeconds
		return kept
	}
	return append(kept, step)
}

// rate is events per second over a number of seconds; no seconds, no rate.
type rate struct{ perSecond, seconds float64 }

func (w Window) arrivals() rate {
	var sum, seconds float64
	for _, b := range w.Buckets {
		sum += b.Arrived
		seconds += b.ArrivedSeconds
	}
	return rateOf(sum, seconds)
}

func (w Window) drains() rate {
	var sum, seconds float64
	for _, b := range w.Buckets {
		sum += b.Drained
		seconds += b.DrainedSeconds
	}
	return rateOf(sum, seconds)
}

func rateOf(sum, seconds float64) rate {
	if seconds <= 0 {
		return rate{}
	}
	return rate{perSecond: sum / seconds, seconds: seconds}
}
