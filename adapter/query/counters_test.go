package query_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// hiding says which of a queue's counters a source does not give.
type hiding string

const (
	hidesNone    hiding = "hides none"
	hidesArrived hiding = "hides arrived"
	hidesDrained hiding = "hides drained"
)

// simulatedQueue is a queue whose every message is known.
type simulatedQueue struct {
	now              time.Time
	arrived, drained uint64
}

// step lets up to a gap pass, with messages that come and as many at most done
// with as there are.
func (q *simulatedQueue) step(r *rand.Rand, gap time.Duration) {
	q.now = q.now.Add(time.Duration(1 + r.Int64N(int64(gap))))
	q.arrived += uint64(r.IntN(200))
	q.drained += r.Uint64N(q.arrived - q.drained + 1)
}

func (q *simulatedQueue) reading(h hiding) *query.Reading {
	arrived, drained := q.arrived, q.drained
	reading := &query.Reading{
		At: q.now, Epoch: "a", Arrived: &arrived, Drained: &drained,
		Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(float64(arrived - drained))},
	}
	switch h {
	case hidesArrived:
		reading.Arrived = nil
	case hidesDrained:
		reading.Drained = nil
	}
	return reading
}

// watcher decides on the readings of one queue.
type watcher struct {
	snapshot query.Snapshot
	state    query.State
}

func newWatcher() *watcher { return &watcher{snapshot: start()} }

func (w *watcher) see(reading *query.Reading) query.Decision {
	w.snapshot.Now, w.snapshot.Poll.Reading = reading.At, reading
	d := query.Decide(w.snapshot, w.state)
	w.state = query.Commit(w.state, d, decision.Outcome{Result: decision.Succeeded})
	return d
}

// rateOf gives a kind's sample, which must be there.
func rateOf(t *testing.T, d query.Decision, kind query.Kind) float64 {
	t.Helper()
	for _, s := range d.Served.Samples {
		if s.Kind == kind {
			if s.Fault != nil {
				t.Fatalf("%s has no value: %s", kind, s.Fault)
			}
			return s.Value
		}
	}
	t.Fatalf("there is no %s", kind)
	return 0
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(1, math.Abs(b)) }

// TestRatesAreTheTruth watches queues for less than the rate window, whichever
// counter is hidden: rates are all that came and went over all of the time.
func TestRatesAreTheTruth(t *testing.T) {
	for _, h := range []hiding{hidesNone, hidesArrived, hidesDrained} {
		t.Run(string(h), func(t *testing.T) {
			for seed := range uint64(50) {
				r := rand.New(rand.NewPCG(seed, 2))
				q := &simulatedQueue{now: epoch, arrived: r.Uint64N(1 << 40)}
				q.drained = q.arrived - min(q.arrived, r.Uint64N(1000))
				w, first := newWatcher(), *q
				w.see(q.reading(h))
				for q.now.Sub(epoch) < 28*time.Second {
					q.step(r, 2*time.Second)
					d := w.see(q.reading(h))
					seconds := q.now.Sub(first.now).Seconds()
					in, out := float64(q.arrived-first.arrived)/seconds, float64(q.drained-first.drained)/seconds
					if got := rateOf(t, d, query.ArrivalRate); !near(got, in) {
						t.Fatalf("seed %d: after %.3f s the arrival rate is %v, in truth %v", seed, seconds, got, in)
					}
					if got := rateOf(t, d, query.DrainRate); !near(got, out) {
						t.Fatalf("seed %d: after %.3f s the drain rate is %v, in truth %v", seed, seconds, got, out)
					}
				}
			}
		})
	}
}

// TestAHiddenCounterMakesNoDifference watches queues for long, past what the
// window holds: all three give the same rates.
func TestAHiddenCounterMakesNoDifference(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		q := &simulatedQueue{now: epoch}
		all := map[hiding]*watcher{hidesNone: newWatcher(), hidesArrived: newWatcher(), hidesDrained: newWatcher()}
		for h, w := range all {
			w.see(q.reading(h))
		}
		for range 200 {
			q.step(r, 4*time.Second)
			truth := all[hidesNone].see(q.reading(hidesNone))
			for _, h := range []hiding{hidesArrived, hidesDrained} {
				d := all[h].see(q.reading(h))
				for _, kind := range []query.Kind{query.ArrivalRate, query.DrainRate} {
					if got, want := rateOf(t, d, kind), rateOf(t, truth, kind); !near(got, want) {
						t.Fatalf("seed %d: a source that %s has %s %v, one that gives both %v", seed, h, kind, got, want)
					}
				}
			}
		}
	}
}

// TestMessagesThatGoAnotherWay discards messages that nobody counts: a rate that
// only the balance tells is left out for those steps, and never negative; the one
// that is counted stays the truth.
func TestMessagesThatGoAnotherWay(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		w, now, depth, drained := newWatcher(), epoch, uint64(0), uint64(0)
		var first time.Time
		var before uint64
		for i := range 20 { // less than the rate window
			now = now.Add(time.Duration(1 + r.Int64N(int64(time.Second))))
			depth += uint64(r.IntN(100))
			done := r.Uint64N(depth + 1)
			depth, drained = depth-done, drained+done
			if r.IntN(3) == 0 {
				depth -= r.Uint64N(depth + 1)
			}
			counted := drained
			d := w.see(&query.Reading{
				At: now, Drained: &counted,
				Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(float64(depth))},
			})
			if i == 0 {
				first, before = now, drained
				continue
			}
			if got, want := rateOf(t, d, query.DrainRate), float64(drained-before)/now.Sub(first).Seconds(); !near(got, want) {
				t.Fatalf("seed %d: the counted rate is %v, in truth %v", seed, got, want)
			}
			for _, s := range d.Served.Samples {
				if s.Kind == query.ArrivalRate && (s.Value < 0 || math.IsNaN(s.Value)) {
					t.Fatalf("seed %d: %s is %v", seed, s.Kind, s.Value)
				}
			}
		}
	}
}

// FuzzCounters feeds arbitrary counters and depths, and leaves each out at times:
// no rate is negative, none is not a number, and all of it can be recorded.
func FuzzCounters(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWatcher()
		now := epoch
		for ; len(data) >= 32; data = data[32:] {
			word := func(i int) uint64 { return binary.LittleEndian.Uint64(data[8*i:]) }
			flags := word(0)
			now = now.Add(time.Duration((flags>>8)%40_000) * time.Millisecond)
			reading := &query.Reading{At: now, Epoch: []string{"a", "a", "a", "b"}[flags&3], Gauges: map[query.Kind]query.Gauge{}}
			if arrived := word(1); flags&4 == 0 {
				reading.Arrived = &arrived
			}
			if drained := word(2); flags&8 == 0 {
				reading.Drained = &drained
			}
			if flags&16 == 0 {
				reading.Gauges[query.Depth] = query.NumberOf(math.Float64frombits(word(3)))
			}
			d := w.see(reading)
			for _, s := range d.Served.Samples {
				if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || (s.Fault != nil && s.Value != 0) {
					t.Fatalf("%s is %v with fault %v", s.Kind, s.Value, s.Fault)
				}
				if (s.Kind == query.ArrivalRate || s.Kind == query.DrainRate) && s.Value < 0 {
					t.Fatalf("%s is %v", s.Kind, s.Value)
				}
			}
			if _, err := json.Marshal([]any{d, w.state}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
