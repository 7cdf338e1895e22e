package estimator

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

var start = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func ptr(v int64) *int64 { return &v }

// defaults are the flags' defaults.
func defaults() Config {
	const day = 24 * time.Hour
	e := Estimates{Target: 0.9, Lower: 0.5, Upper: 0.95, Confidence: day, HalfLife: day, Round: 1}
	return Config{Margin: 0.15, MinCPUMillicores: 25, MinMemoryMb: 250, CPU: e, Memory: e,
		PeakInterval: day, PeakIntervals: 8, OOMRatio: 1.2, OOMBytes: 100 << 20, CheckpointPeriod: time.Minute}
}

// steady is a snapshot of one pod with one container.
func steady(at time.Time, usage Amounts) Snapshot {
	return Snapshot{
		Now: at, Mode: ModeAuto, Config: defaults(),
		VPA:  VPA{Namespace: "shop", Name: "orders", UID: "u1", Target: Target{APIVersion: "apps/v1", Kind: "Deployment", Name: "orders"}},
		Pods: map[string]Pod{"orders-1": {Sampled: at, Containers: map[string]Container{"app": {Usage: usage, Request: 256 << 20}}}},
	}
}

// days runs one pass a minute on a steady usage.
func days(n int, usage Amounts, change func(*Snapshot)) (Decision, State) {
	var state State
	var d Decision
	for i := range n * 1440 {
		s := steady(start.Add(time.Duration(i)*time.Minute), usage)
		s.VPA.Recommended = d.To
		if change != nil {
			change(&s)
		}
		d = Decide(s, state)
		state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
	}
	return d, state
}

func TestGoldenNumbers(t *testing.T) {
	t.Run("steady usage", func(t *testing.T) {
		d, _ := days(1, Amounts{CPU: ptr(100), Memory: ptr(256 << 20)}, nil)
		want := Amounts{CPU: ptr(126), Memory: ptr(323522422)}
		if diff := cmp.Diff(want, d.To[0].Target); diff != "" {
			t.Errorf("target (-want +got):\n%s", diff)
		}
	})
	t.Run("idle container", func(t *testing.T) {
		d, _ := days(1, Amounts{CPU: ptr(1), Memory: ptr(1 << 20)}, nil)
		if got := Quantity(Memory, *d.To[0].Target.Memory); *d.To[0].Target.CPU != 25 || got.Value() != 262144000 {
			t.Errorf("target is %dm and %s, want 25m and 262144k", *d.To[0].Target.CPU, got)
		}
	})
	t.Run("two idle containers", func(t *testing.T) {
		d, _ := days(1, Amounts{CPU: ptr(1), Memory: ptr(1 << 20)}, func(s *Snapshot) {
			s.Pods["orders-1"].Containers["proxy"] = s.Pods["orders-1"].Containers["app"]
		})
		for _, c := range d.To {
			if *c.Target.CPU != 12 || *c.Target.Memory != 131072000 {
				t.Errorf("%s: target is %dm and %d bytes, want 12m and 131072k", c.Container, *c.Target.CPU, *c.Target.Memory)
			}
		}
		if len(d.To) != 2 {
			t.Errorf("%d containers, want 2", len(d.To))
		}
	})
}

func TestKillForMemoryRaisesTheTarget(t *testing.T) {
	const used = 256 << 20
	d, state := days(1, Amounts{CPU: ptr(100), Memory: ptr(used)}, nil)
	before := *d.To[0].Target.Memory
	at := start.Add(24 * time.Hour)
	s := steady(at, Amounts{CPU: ptr(100), Memory: ptr(used)})
	s.VPA.Recommended = d.To
	container := s.Pods["orders-1"].Containers["app"]
	container.Killed = at.Add(-10 * time.Second)
	s.Pods["orders-1"].Containers["app"] = container
	d = Decide(s, state)
	if after := *d.To[0].Target.Memory; after < (used+100<<20)*115/100 || after <= before {
		t.Errorf("the target is %d after a kill, %d before", after, before)
	}
	if len(d.Checkpoints) == 0 {
		t.Error("a kill is not written at once")
	}
	// The same kill counts once.
	state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
	s.Now = s.Now.Add(time.Minute)
	if again := Decide(s, state); len(again.Observed.Kills) > 0 {
		t.Errorf("the same kill is learned again: %+v", again.Observed.Kills)
	}
}

// TestInvariants plays random clusters: bounds stand around the target, the same
// input gives the same decision, and no argument is changed.
func TestInvariants(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(1000 + seed)
		var state State
		var shown Recommendation
		for range 40 {
			s := w.pass()
			s.VPA.Recommended = shown
			before, input := text(t, state), text(t, s)
			d := Decide(s, state)
			if again := Decide(s, state); text(t, again) != text(t, d) {
				t.Fatalf("seed %d: two decisions on the same input differ", seed)
			}
			next := Commit(state, d, decision.Outcome{Result: decision.Succeeded})
			if text(t, state) != before || text(t, s) != input {
				t.Fatalf("seed %d: an argument was changed", seed)
			}
			for _, c := range d.To {
				for _, name := range resources {
					low, target, high := c.Lower.Of(name), c.Target.Of(name), c.Upper.Of(name)
					if target != nil && (*low > *target || *target > *high) {
						t.Fatalf("seed %d: %s %s: %d, %d, %d are not in order", seed, c.Container, name, *low, *target, *high)
					}
				}
			}
			state, shown = next, d.To
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestHistoryIsForgotten(t *testing.T) {
	_, state := days(1, Amounts{CPU: ptr(100), Memory: ptr(256 << 20)}, nil)
	for name, tc := range map[string]struct {
		after time.Duration
		want  int
	}{
		"after a week it is kept":         {after: 7 * 24 * time.Hour, want: 1},
		"after eight intervals it is not": {after: 10 * 24 * time.Hour, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := steady(start.Add(tc.after), Amounts{})
			s.Pods = nil
			d := Decide(s, state)
			after := Commit(state, d, decision.Outcome{Result: decision.Unneeded})
			if len(after.Learned) != tc.want || len(d.To) != tc.want {
				t.Errorf("%d histories and %d recommendations, want %d", len(after.Learned), len(d.To), tc.want)
			}
			if len(after.Windows) != 0 {
				t.Errorf("windows of pods that are gone: %v", after.Windows)
			}
		})
	}
}

func TestSettledLeavesRunningPeaksOut(t *testing.T) {
	_, state := days(1, Amounts{CPU: ptr(100), Memory: ptr(256 << 20)}, nil)
	scheme := MemoryScheme(24 * time.Hour)
	running := start.Add(23 * time.Hour)
	if l := Settled(state, "app", running, 24*time.Hour); !scheme.Empty(l.Memory) {
		t.Errorf("the running interval's peak is in the settled history: %+v", l.Memory)
	}
	if l := Settled(state, "app", start.Add(25*time.Hour), 24*time.Hour); scheme.Empty(l.Memory) {
		t.Error("the peak of an interval that ended is not in the settled history")
	}
}
