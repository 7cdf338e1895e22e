package query_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

var everyKind = []query.Metric{
	{Name: "depth", Kind: query.Depth}, {Name: "pending", Kind: query.Pending}, {Name: "ack", Kind: query.AckPending},
	{Name: "age", Kind: query.OldestAge}, {Name: "in", Kind: query.ArrivalRate}, {Name: "out", Kind: query.DrainRate},
	{Name: "wait", Kind: query.SecondsToDrain},
}

// randomGauge is any presence, and numbers of any kind.
func randomGauge(r *rand.Rand) query.Gauge {
	switch r.IntN(8) {
	case 0:
		return query.Gauge{}
	case 1:
		return query.Gauge{Presence: query.Empty}
	case 2:
		return query.NumberOf(math.NaN())
	case 3:
		return query.NumberOf(math.MaxFloat64)
	case 4:
		return query.NumberOf(-1)
	case 5:
		return query.NumberOf(0)
	}
	return query.NumberOf(float64(r.IntN(1000)))
}

// nextSnapshot lets a random time pass and a random thing happen.
func nextSnapshot(r *rand.Rand, s query.Snapshot) query.Snapshot {
	s.Now = s.Now.Add(time.Duration(r.IntN(5000)) * time.Millisecond)
	if r.IntN(4) == 0 {
		inRow := 1
		if s.Poll.Failing {
			inRow += s.Poll.LastFailure.InRow
		}
		s.Poll.Failing = true
		s.Poll.LastFailure = &query.Failure{At: s.Now, Reason: "Unreachable", Message: "gone", InRow: inRow}
		return s
	}
	reading := &query.Reading{
		At: s.Now.Add(time.Duration(r.IntN(200)-100) * time.Second / 50),
		Gauges: map[query.Kind]query.Gauge{
			query.Pending: randomGauge(r), query.AckPending: randomGauge(r), query.OldestAge: randomGauge(r),
		},
		Epoch: []string{"a", "a", "a", "b"}[r.IntN(4)],
	}
	for range r.IntN(3) {
		reading.Delivered = append(reading.Delivered, uint64(r.IntN(10000)))
	}
	s.Poll.Reading, s.Poll.Failing = reading, false
	return s
}

// present is the presence of what a kind is computed from directly.
func present(reading *query.Reading, kind query.Kind) bool {
	has := func(k query.Kind) bool { return reading.Gauges[k].Presence == query.Number }
	switch kind {
	case query.Depth, query.SecondsToDrain:
		return has(query.Pending) && has(query.AckPending)
	case query.Pending, query.AckPending:
		return has(kind)
	case query.OldestAge:
		return has(kind) || (has(query.Pending) && has(query.AckPending))
	}
	return true
}

func checkDecision(t *testing.T, s query.Snapshot, d query.Decision) {
	t.Helper()
	for _, sample := range d.Served.Samples {
		if math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) {
			t.Fatalf("%s is %v", sample.Metric, sample.Value)
		}
		if sample.Fault != nil {
			if sample.Value != 0 || sample.Fault.Message == "" || sample.Fault.Reason == "" {
				t.Fatalf("%s has a fault and a value, or a fault that says nothing: %+v", sample.Metric, sample)
			}
			continue
		}
		if s.Poll.Reading == nil || !present(s.Poll.Reading, sample.Kind) {
			t.Fatalf("%s is %v and was not measured: %+v", sample.Metric, sample.Value, s.Poll.Reading)
		}
		switch sample.Kind {
		case query.ArrivalRate, query.DrainRate:
			if sample.Value < 0 {
				t.Fatalf("%s is %v, below 0", sample.Metric, sample.Value)
			}
		case query.SecondsToDrain:
			if sample.Value > query.MaxSecondsToDrain {
				t.Fatalf("%s is %v, above the cap", sample.Metric, sample.Value)
			}
		}
	}
}

func start() query.Snapshot {
	return query.Snapshot{
		Now: epoch, Unit: decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "orders", UID: "1"},
		Mode: query.ModeAuto, Created: epoch, Generation: 1,
		Spec: query.Spec{Generation: 1, Source: "natsJetStream ORDERS/workers", MaxAge: 10 * time.Second, PollInterval: time.Second, Metrics: everyKind},
	}
}

// TestWhatIsNotMeasuredIsNeverServed plays many random histories: no value
// without its measurement, no negative rate, nothing that JSON cannot hold, and
// no read of a sample older than maxAge.
func TestWhatIsNotMeasuredIsNeverServed(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, state := start(), query.State{}
		for range 60 {
			s = nextSnapshot(r, s)
			before, err := json.Marshal([]any{s, state})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			d := query.Decide(s, state)
			after, err := json.Marshal([]any{s, state})
			if err != nil || !bytes.Equal(before, after) {
				t.Fatalf("seed %d: Decide changed its arguments (%v)", seed, err)
			}
			checkDecision(t, s, d)
			outcome := decision.Outcome{Result: []decision.Result{decision.Succeeded, decision.Failed}[r.IntN(2)]}
			state = query.Commit(state, d, outcome)
			late := s.Now.Add(time.Duration(r.IntN(60)) * time.Second)
			for _, sample := range state.Served.Samples {
				if age := late.Sub(state.Served.Facts.SampledAt); age > s.Spec.MaxAge && query.Judge(sample, state.Served.Facts, late) == nil {
					t.Fatalf("seed %d: a sample %s old is served", seed, age)
				}
			}
			if n := len(state.Window.Buckets); n > 20 {
				t.Fatalf("seed %d: the window holds %d buckets", seed, n)
			}
		}
	}
}

// TestReplayHasNoDifference records random histories in a ledger and decides
// them again from it.
func TestReplayHasNoDifference(t *testing.T) {
	dir := t.TempDir()
	w, err := ledger.Open[query.Snapshot, query.State, query.Decision](ledger.Config{Dir: dir, Component: query.Component, Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	s, state := start(), query.State{}
	const turns = 500
	for range turns {
		s = nextSnapshot(r, s)
		d := query.Decide(s, state)
		outcome := decision.Outcome{Result: decision.Unneeded}
		if d.Act {
			outcome.Result = decision.Succeeded
		}
		entry := loop.Entry[query.Snapshot, query.State, query.Decision]{Snapshot: s, Before: state, Decision: d, Outcome: outcome}
		if err := w.Record(entry); err != nil {
			t.Fatal(err)
		}
		state = query.Commit(state, d, outcome)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := ledger.Files(dir, query.Component)
	if err != nil || len(files) == 0 {
		t.Fatalf("no ledger: %v", err)
	}
	decisions := 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		report, err := ledger.Replay(f, query.Rules)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for _, difference := range report.Differences {
			t.Errorf("%+v", difference)
		}
		decisions += report.Decisions
	}
	if decisions != turns {
		t.Errorf("replayed %d decisions, want %d", decisions, turns)
	}
}

func TestSampleTime(t *testing.T) {
	sent, received := epoch, epoch.Add(time.Second)
	for name, test := range map[string]struct {
		measured time.Time
		at       time.Time
		skew     time.Duration
	}{
		"within":   {epoch.Add(300 * time.Millisecond), epoch.Add(300 * time.Millisecond), 0},
		"ahead":    {epoch.Add(time.Hour), received, time.Hour - time.Second},
		"behind":   {epoch.Add(-time.Hour), sent, -time.Hour},
		"no time":  {time.Time{}, sent, 0},
		"on begin": {sent, sent, 0},
		"on end":   {received, received, 0},
	} {
		t.Run(name, func(t *testing.T) {
			at, skew := query.SampleTime(test.measured, sent, received)
			if !at.Equal(test.at) || skew != test.skew {
				t.Errorf("got %s, skew %s; want %s, skew %s", at, skew, test.at, test.skew)
			}
		})
	}
}

func TestQuantity(t *testing.T) {
	got := map[float64]string{}
	want := map[float64]string{
		0: "0", 1: "1", 1.5: "1500m", 0.0004: "1m", -0.0004: "-1m", 2.9996: "3", 1e6: "1M",
		1e16: "10P", 9e18: "9E", 1e300: "9223372036854775807", -1e300: "-9223372036854775807",
	}
	for v := range want {
		q := query.Quantity(v)
		got[v] = q.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("quantities (-want +got):\n%s", diff)
	}
}

// FuzzRates feeds two arbitrary readings: whatever they hold, no rate is
// negative and none is not a number.
func FuzzRates(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, state := start(), query.State{}
		for ; len(data) >= 32; data = data[32:] {
			word := func(i int) uint64 { return binary.LittleEndian.Uint64(data[8*i:]) }
			s.Now = s.Now.Add(time.Duration(word(0)%40_000) * time.Millisecond)
			s.Poll.Reading = &query.Reading{
				At: s.Now, Delivered: []uint64{word(1), word(1) / 2},
				Gauges: map[query.Kind]query.Gauge{
					query.Pending:    query.NumberOf(math.Float64frombits(word(2))),
					query.AckPending: query.NumberOf(math.Float64frombits(word(3))),
				},
			}
			d := query.Decide(s, state)
			checkDecision(t, s, d)
			if _, err := json.Marshal(d); err != nil {
				t.Fatal(err)
			}
			state = query.Commit(state, d, decision.Outcome{Result: decision.Succeeded})
		}
	})
}

// BenchmarkDecide is one turn of an object with every value and a full window.
func BenchmarkDecide(b *testing.B) {
	s, state := start(), query.State{}
	delivered := uint64(0)
	next := func() query.Decision {
		s.Now = s.Now.Add(time.Second)
		delivered += 10
		s.Poll.Reading = &query.Reading{
			At: s.Now, Delivered: []uint64{delivered, delivered},
			Gauges: map[query.Kind]query.Gauge{
				query.Pending: query.NumberOf(100), query.AckPending: query.NumberOf(5), query.OldestAge: query.NumberOf(3),
			},
		}
		return query.Decide(s, state)
	}
	for range 60 {
		state = query.Commit(state, next(), decision.Outcome{Result: decision.Succeeded})
	}
	b.ReportAllocs()
	for b.Loop() {
		state = query.Commit(state, next(), decision.Outcome{Result: decision.Succeeded})
	}
}

// BenchmarkJudge is what every serving read pays.
func BenchmarkJudge(b *testing.B) {
	s := start()
	s.Poll.Reading = &query.Reading{At: s.Now, Gauges: map[query.Kind]query.Gauge{query.Pending: query.NumberOf(1), query.AckPending: query.NumberOf(1)}}
	served := query.Decide(s, query.State{}).Served
	b.ReportAllocs()
	for b.Loop() {
		if fault := query.Judge(served.Samples[0], served.Facts, s.Now); fault != nil {
			b.Fatal(fault)
		}
	}
}
