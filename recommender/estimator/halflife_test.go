package estimator

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// living plays turns one minute apart, with a policy from the turn that it is for.
func living(t *testing.T, turns int, policies map[int]*verticalpolicy.Recommender, usage func(turn int) Amounts) State {
	t.Helper()
	s := steady(start, Amounts{})
	s.Pods = map[string]Pod{"orders-1": {Containers: map[string]Container{"app": {}}}}
	var state State
	for turn := range turns {
		if p, changes := policies[turn]; changes {
			s.Policy = p
		}
		s.Now = start.Add(time.Duration(turn) * time.Minute)
		s.Pods["orders-1"] = Pod{Sampled: s.Now, Containers: map[string]Container{"app": {Usage: usage(turn)}}}
		d := Decide(s, state)
		state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
	}
	return state
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

func quick(life time.Duration) *verticalpolicy.Recommender {
	return &verticalpolicy.Recommender{Attached: verticalpolicy.Attached{Name: "quick"},
		CPU: verticalpolicy.Estimation{HalfLife: life}, Memory: verticalpolicy.Estimation{HalfLife: life}}
}

// A peak of an interval that runs counts once, also when the half-life changes
// within it and a higher one takes its place.
func TestRunningPeaksCountOnceOverAChangeOfTheHalfLife(t *testing.T) {
	flags := steady(start, Amounts{}).Config
	for name, policies := range map[string]map[int]*verticalpolicy.Recommender{
		"none":           nil,
		"shorter":        {30: quick(6 * time.Hour)},
		"longer":         {30: quick(240 * time.Hour)},
		"there and back": {30: quick(6 * time.Hour), 60: nil},
		"twice":          {30: quick(6 * time.Hour), 60: quick(240 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			state := living(t, 100, policies, func(turn int) Amounts {
				memory := int64(256 << 20)
				if turn >= 80 {
					memory = 512 << 20
				}
				return Amounts{CPU: ptr(100), Memory: &memory}
			})
			if n := len(state.Learned["app"].Memory.Weights); n != 1 {
				t.Errorf("%d buckets weigh, want that of the one peak", n)
			}
			settled := Settled(state, "app", start.Add(99*time.Minute), flags.Memory.HalfLife)
			if settled.Memory.Total != 0 || len(settled.Memory.Weights) != 0 {
				t.Errorf("without the running peak %+v is left", settled.Memory)
			}
		})
	}
}

// The CPU history of a policy's half-life becomes that of the flags where the
// policy goes, and weighs what it weighed.
func TestHistoryComesBackToTheHalfLivesOfTheFlags(t *testing.T) {
	usage := func(int) Amounts { return Amounts{CPU: ptr(100), Memory: ptr(256 << 20)} }
	with := living(t, 60, map[int]*verticalpolicy.Recommender{0: quick(time.Hour)}, usage)
	if l := with.Learned["app"]; l.CPUHalfLife != time.Hour || l.MemoryHalfLife != time.Hour {
		t.Fatalf("half-lives %s and %s are stated, want 1h", l.CPUHalfLife, l.MemoryHalfLife)
	}
	back := living(t, 61, map[int]*verticalpolicy.Recommender{0: quick(time.Hour), 60: nil}, usage)
	if l := back.Learned["app"]; l.CPUHalfLife != 0 || l.MemoryHalfLife != 0 {
		t.Errorf("half-lives %s and %s are stated without a policy", l.CPUHalfLife, l.MemoryHalfLife)
	}
	never := living(t, 61, nil, usage)
	if diff := cmp.Diff(never.Learned["app"].Samples, back.Learned["app"].Samples); diff != "" {
		t.Errorf("samples (-without +with a policy):\n%s", diff)
	}
}

// What is written for other recommenders has the half-lives of the flags, and
// makes the same recommendation.
func TestInHalfLivesOfTheFlags(t *testing.T) {
	flags := steady(start, Amounts{}).Config
	state := living(t, 300, map[int]*verticalpolicy.Recommender{0: quick(2 * time.Hour)}, func(turn int) Amounts {
		cpu := int64(100 + turn)
		return Amounts{CPU: &cpu, Memory: ptr(256 << 20)}
	})
	own := state.Learned["app"]
	others := InHalfLives(own, flags.CPU.HalfLife, flags.Memory.HalfLife, start.Add(299*time.Minute))
	if others.CPUHalfLife != 0 || others.MemoryHalfLife != 0 {
		t.Errorf("half-lives %s and %s are stated", others.CPUHalfLife, others.MemoryHalfLife)
	}
	for _, p := range []float64{0.1, 0.5, 0.9, 0.95} {
		want, got := CPUScheme(2*time.Hour).Percentile(own.CPU, p), CPUScheme(flags.CPU.HalfLife).Percentile(others.CPU, p)
		if want != got {
			t.Errorf("the p%g is %g, want %g", 100*p, got, want)
		}
	}
}
