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
	At    Time   `json:"at"`
	Epoch string `json:"epoch,omitempty"`
	// Pending and AckPending go with Delivered.
	Pending    float64  `json:"pending"`
	AckPending float64  `json:"ackPending"`
	Delivered  []uint64 `json:"delivered,omitempty"`
	// Depth goes with Arrived and Drained, nil where it is not known.
	Depth   *float64 `json:"depth,omitempty"`
	Arrived *uint64  `json:"arrived,omitempty"`
	Drained *uint64  `json:"drained,omitempty"`
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
		return uncounted(w, r, span)
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
	step, ok := stepBetween(*last, mark)
	if !ok {
		return restart("CounterReset", "the source's counters began anew, and so do rates")
	}
	return advanceResult{
		&WindowDelta{Last: mark, Step: &step, Span: span},
		"Counted", "the reading's counters were added to the rate window",
	}
}

// uncounted leaves the window as it is for as long as it holds anything that is
// newer than its span; rates of a source that gives no counters any more end then.
func uncounted(w Window, r *Reading, span time.Duration) advanceResult {
	if r != nil && w.Last != nil && len(w.Buckets) > 0 && r.At.Sub(w.Last.At) > span {
		return advanceResult{&WindowDelta{Last: *w.Last}, "Gap", "no counters for longer than the rate window: rates begin anew"}
	}
	return advanceResult{nil, "NoCounters", "the reading has no counters to measure rates from"}
}

// markOf takes from a reading what rates are measured from, or gives false where
// there is nothing to measure them from.
func markOf(r *Reading) (Mark, bool) {
	if r == nil {
		return Mark{}, false
	}
	mark := Mark{At: r.At, Epoch: r.Epoch}
	if r.Arrived != nil || r.Drained != nil {
		mark.Arrived, mark.Drained = r.Arrived, r.Drained
		if depth, fault := (inputs{reading: r}).depth(); fault == nil && depth.value >= 0 {
			mark.Depth = &depth.value
		}
		return mark, mark.counts()
	}
	pending, ackPending := r.Gauges[Pending], r.Gauges[AckPending]
	if len(r.Delivered) == 0 || !countable(pending) || !countable(ackPending) {
		return Mark{}, false
	}
	mark.Pending, mark.AckPending, mark.Delivered = pending.Value, ackPending.Value, slices.Clone(r.Delivered)
	return mark, true
}

// counts tells whether both sides of the queue can be told from the mark.
func (m Mark) counts() bool {
	return (m.Arrived != nil && m.Drained != nil) || m.Depth != nil
}

// countable tells whether a gauge can be a number of messages.
func countable(g Gauge) bool {
	return g.Presence == Number && g.Value >= 0 && g.Value <= math.MaxInt64
}

// growth is the smallest growth of the delivery counters, or false where they
// cannot be compared.
func growth(from, to Mark) (float64, bool) {
	if len(from.Delivered) != len(to.Delivered) {
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

// stepBetween tells what came and what was done with between two marks, or gives
// false where they cannot be compared.
func stepBetween(from, to Mark) (Bucket, bool) {
	if from.Epoch != to.Epoch {
		return Bucket{}, false
	}
	if to.Arrived != nil || to.Drained != nil {
		return counted(from, to)
	}
	delivered, ok := growth(from, to)
	if !ok {
		return Bucket{}, false
	}
	return delivery(from, to, delivered), true
}

// counted takes each side from its counter, or else from the other side's and the
// change of depth. A balance that is negative means that messages went another
// way, so that side of the step is not known and is left out.
func counted(from, to Mark) (Bucket, bool) {
	arrived, hasArrived, ok := rise(from.Arrived, to.Arrived)
	if !ok {
		return Bucket{}, false
	}
	drained, hasDrained, ok := rise(from.Drained, to.Drained)
	if !ok || !(hasArrived || hasDrained) {
		return Bucket{}, false
	}
	if from.Depth != nil && to.Depth != nil {
		change := *to.Depth - *from.Depth
		switch {
		case !hasArrived:
			arrived, hasArrived = drained+change, drained+change >= 0
		case !hasDrained:
			drained, hasDrained = arrived-change, arrived-change >= 0
		}
	}
	seconds := to.At.Sub(from.At).Seconds()
	step := Bucket{Start: from.At, End: to.At}
	if hasArrived {
		step.Arrived, step.ArrivedSeconds = arrived, seconds
	}
	if hasDrained {
		step.Drained, step.DrainedSeconds = drained, seconds
	}
	return step, true
}

// rise is how much a counter grew, with has false where one of the two is not
// there and ok false where it went down.
func rise(from, to *uint64) (by float64, has, ok bool) {
	switch {
	case from == nil || to == nil:
		return 0, false, true
	case *to < *from:
		return 0, false, false
	}
	return float64(*to - *from), true, true
}

// delivery balances one step: what was delivered left Pending, and what was
// delivered and is not in AckPending any more is done with. A negative balance
// means that messages went another way (a purge, a limit that discards), so
// that side of the step is not known and is left out.
func delivery(from, to Mark, delivered float64) Bucket {
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
