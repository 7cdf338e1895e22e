package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// The component of these tests keeps the largest of the readings it has seen and
// wants that many replicas.
type (
	reading struct {
		Milli int64 `json:"milli"`
		// Note is nil now and then: a null has no form in a merge patch.
		Note *string `json:"note"`
	}
	input struct {
		Unit     decision.Unit      `json:"unit"`
		Now      time.Time          `json:"now"`
		Readings map[string]reading `json:"readings,omitempty"`
		Ratio    float64            `json:"ratio"`
	}
	delta struct {
		Largest int64 `json:"largest,omitempty"`
	}
	state struct {
		Largest int64 `json:"largest"`
		Scaled  int   `json:"scaled"`
	}
	decided = decision.Decision[int64, delta]
)

func rules(factor int64) loop.Rules[input, state, decided] {
	return loop.Rules[input, state, decided]{
		Decide: func(in input, s state) decided {
			largest := s.Largest
			for _, r := range in.Readings {
				largest = max(largest, r.Milli)
			}
			to := largest / 1000 * factor
			return decided{
				Component: "test", Unit: in.Unit, At: in.Now, From: s.Largest, To: to, Act: to != s.Largest,
				Steps:     []decision.Step{{Rule: "largest", In: fmt.Sprint(s.Largest), Out: fmt.Sprint(to), Reason: "Largest"}},
				Observed:  delta{Largest: largest},
				OnSuccess: delta{Largest: 1},
			}
		},
		Commit: func(s state, d decided, o decision.Outcome) state {
			s.Largest = max(s.Largest, d.Observed.Largest)
			if o.Result == decision.Succeeded {
				s.Scaled++
			}
			return s
		},
	}
}

// run records n random turns of a few units and returns the folder.
func run(t testing.TB, cfg ledger.Config, n int, seed uint64) string {
	t.Helper()
	cfg.Dir = t.TempDir()
	cfg.Component, cfg.Build = "test", "v0.0.0-test"
	clk := testingclock.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC))
	cfg.Clock = clk
	w, err := ledger.Open[input, state, decided](cfg)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	r, states := rules(1), map[string]state{}
	for range n {
		clk.Step(time.Duration(rng.Int64N(int64(20 * time.Second))))
		name := fmt.Sprintf("u%d", rng.IntN(4))
		in := input{Unit: decision.Unit{Kind: "Test", Namespace: "ns", Name: name}, Now: clk.Now(), Readings: map[string]reading{}, Ratio: rng.Float64()}
		if rng.IntN(20) == 0 {
			w.Forget(in.Unit)
			delete(states, name)
		}
		for i := range rng.IntN(4) {
			note := "the same"
			read := reading{Milli: rng.Int64N(math.MaxInt64), Note: &note}
			if rng.IntN(3) == 0 {
				read.Note = nil
			}
			in.Readings[fmt.Sprintf("p%d", i)] = read
		}
		d := r.Decide(in, states[name])
		o := decision.Outcome{Result: []decision.Result{decision.Succeeded, decision.Failed, decision.Unneeded}[rng.IntN(3)]}
		if err := w.Record(loop.Entry[input, state, decided]{Snapshot: in, Before: states[name], Decision: d, Outcome: o}); err != nil {
			t.Fatal(err)
		}
		states[name] = r.Commit(states[name], d, o)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg.Dir
}

func files(t testing.TB, dir string) [][]byte {
	t.Helper()
	names, err := ledger.Files(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}

func TestReplayOfTheSameRulesHasNoDifference(t *testing.T) {
	for seed := range uint64(20) {
		raw := files(t, run(t, ledger.Config{KeyframeEvery: 5}, 300, seed))
		if len(raw) != 1 {
			t.Fatalf("seed %d: %d files, want 1", seed, len(raw))
		}
		report, err := ledger.Replay(bytes.NewReader(raw[0]), rules(1))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if report.Decisions != 300 || report.Units != 4 || len(report.Differences) != 0 {
			t.Fatalf("seed %d: %d decisions on %d units, differences %v", seed, report.Decisions, report.Units, report.Differences)
		}
	}
}

func TestReplayOfOtherRulesNamesTheFields(t *testing.T) {
	raw := files(t, run(t, ledger.Config{}, 1, 3))[0]
	report, err := ledger.Replay(bytes.NewReader(raw), rules(2))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, d := range report.Differences {
		paths = append(paths, d.Path)
	}
	if diff := cmp.Diff([]string{"decision.steps[0].out", "decision.to"}, paths); diff != "" {
		t.Errorf("paths that differ (-want +got):\n%s", diff)
	}
	if d := report.Differences[0]; d.At.IsZero() || d.Decision != 1 || d.Recorded == d.Replayed {
		t.Errorf("difference says too little: %+v", d)
	}
}

func TestEveryFileReplaysAloneAndOldOnesGo(t *testing.T) {
	raw := files(t, run(t, ledger.Config{MaxFileBytes: 4096, MaxFiles: 3}, 200, 1))
	if len(raw) != 3 {
		t.Fatalf("%d files kept, want 3", len(raw))
	}
	for i, content := range raw {
		report, err := ledger.Replay(bytes.NewReader(content), rules(1))
		if err != nil || len(report.Differences) != 0 {
			t.Errorf("file %d: err %v, differences %v", i, err, report.Differences)
		}
		if i < 2 && report.Decisions == 0 {
			t.Errorf("file %d holds no decision", i)
		}
	}
}

func TestDamagedLedgerGivesWhatComesBeforeTheFault(t *testing.T) {
	whole := files(t, run(t, ledger.Config{}, 50, 9))[0]
	lineStarts := []int{0}
	for i, b := range whole[:len(whole)-1] {
		if b == '\n' {
			lineStarts = append(lineStarts, i+1)
		}
	}
	at := lineStarts[30] // the header and 29 decisions come before it
	flipped := bytes.Clone(whole)
	flipped[at+40] ^= 1
	var noKeyframe []byte
	for _, line := range bytes.SplitAfter(whole, []byte("\n"))[1:] {
		if !bytes.Contains(line, []byte(`"unit":{"kind":"Test","namespace":"ns","name":"u`)) || !bytes.Contains(line, []byte(`"state":`)) {
			noKeyframe = append(bytes.Clone(whole[:lineStarts[1]]), line...)
			break
		}
	}
	if noKeyframe == nil {
		t.Fatal("the run recorded keyframes only")
	}
	cases := map[string]struct {
		raw       []byte
		decisions int
		offset    int64
	}{
		"cut in the middle of a line":  {whole[:at+20], 29, int64(at)},
		"last newline missing":         {whole[:at-1], 28, int64(lineStarts[29])},
		"one bit flipped":              {flipped, 29, int64(at)},
		"empty":                        {nil, 0, 0},
		"change before its keyframe":   {noKeyframe, 0, int64(lineStarts[1])},
		"garbage":                      {[]byte("hello\nworld\n"), 0, 0},
		"garbage of a header's length": {[]byte("00000000 {}\n"), 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			report, err := ledger.Replay(bytes.NewReader(c.raw), rules(1))
			var corrupt *ledger.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("error %v, want a CorruptError", err)
			}
			if corrupt.Offset != c.offset || report.Decisions != c.decisions {
				t.Errorf("fault at %d after %d decisions, want %d after %d", corrupt.Offset, report.Decisions, c.offset, c.decisions)
			}
			if len(report.Differences) != 0 {
				t.Errorf("differences before the fault: %v", report.Differences)
			}
		})
	}
}

func TestClosedLedgerRefuses(t *testing.T) {
	w, err := ledger.Open[input, state, decided](ledger.Config{Dir: t.TempDir(), Component: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := w.Record(loop.Entry[input, state, decided]{}); err == nil {
		t.Error("a closed ledger took a record")
	}
}

func TestFilesTellComponentsApart(t *testing.T) {
	dir := t.TempDir()
	for _, component := range []string{"test", "test-two"} {
		w, err := ledger.Open[input, state, decided](ledger.Config{Dir: dir, Component: component})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(files(t, dir)); got != 1 {
		t.Errorf("%d files of component test, want 1", got)
	}
}

func FuzzReplay(f *testing.F) {
	whole := files(f, run(f, ledger.Config{KeyframeEvery: 3}, 12, 4))[0]
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, raw []byte) {
		report, err := ledger.Replay(bytes.NewReader(raw), rules(1))
		if err == nil && report.Header.Format != ledger.Version {
			t.Errorf("read format %d without an error", report.Header.Format)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	w, err := ledger.Open[input, state, decided](ledger.Config{Dir: b.TempDir(), Component: "test"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	r := rules(1)
	in := input{Unit: decision.Unit{Kind: "Test", Name: "u"}, Now: time.Unix(0, 0).UTC(), Readings: map[string]reading{"a": {Milli: 5000}}}
	b.ReportAllocs()
	for b.Loop() {
		in.Now = in.Now.Add(15 * time.Second)
		if err := w.Record(loop.Entry[input, state, decided]{Snapshot: in, Decision: r.Decide(in, state{})}); err != nil {
			b.Fatal(err)
		}
	}
}
