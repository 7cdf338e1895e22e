package replicas

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// FuzzDecide decides on random snapshots and on arbitrary JSON: nothing panics,
// nothing is changed that was handed in, and a replay gives the same bytes.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, []byte(nil))
	}
	f.Add(uint64(2), []byte(`{"policy":{"source":"p","windows":[{"opens":"0001-01-01T00:00:00Z","closes":"9999-01-01T00:00:00Z","min":-5,"rampUp":9223372036854775807,"rampDown":-1}],"pause":{"direction":""},"fallback":{"policy":"","replicas":-3},"oscillation":{"changes":-1}}}`))
	f.Add(uint64(1), []byte(`{"scale":{"spec":2147483647,"status":-1,"selector":"a"},"hpa":{"max":-5,"metrics":[{"type":"External","averageValue":-1}]}}`))
	f.Fuzz(func(t *testing.T, seed uint64, patch []byte) {
		s, state := randomTurn(seed)
		// What does not fit is left out.
		_ = json.Unmarshal(patch, &s)
		s.Now = s.Now.UTC().Round(0)
		before, stateBefore := encode(t, s), encode(t, state)
		d := Decide(s, state)
		checkReplay(t, s, state, d)
		for _, o := range []decision.Outcome{{Result: decision.Succeeded}, {Result: decision.Failed, Error: "x"}} {
			Render(d, o)
			Commit(state, d, o)
		}
		if diff := cmp.Diff(before, encode(t, s)); diff != "" {
			t.Errorf("the snapshot changed:\n%s", diff)
		}
		if diff := cmp.Diff(stateBefore, encode(t, state)); diff != "" {
			t.Errorf("the state changed:\n%s", diff)
		}
		if l := limitsOf(&s); d.Act && l.Min <= l.Max && (d.To < l.Min || d.To > l.Max) {
			t.Errorf("acts on %d, outside %d to %d", d.To, l.Min, l.Max)
		}
	})
}

func encode(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Skip("has no form as JSON")
	}
	return string(raw)
}

// randomTurn gives an object in the middle of its life.
func randomTurn(seed uint64) (Snapshot, State) {
	r := rand.New(rand.NewPCG(seed, 4))
	s := plain(r.Int32N(20))
	s.Scale.Status = r.Int32N(20)
	s.Pods = randomPods(r, s.Scale.Status, s.Now)
	s.HPA.Min = r.Int32N(5)
	s.HPA.Max = s.HPA.Min + r.Int32N(20)
	s.HPA.Behavior = randomBehavior(r)
	s.HPA.Status.ScaledToZero = r.IntN(2) == 0
	s.Mode = []string{ModeAuto, ModeAuto, ModeRecommend}[r.IntN(3)]
	randomMetrics(r, &s)
	if r.IntN(2) == 0 {
		s.Policy = randomPolicy(r, s.Now)
	}
	var state State
	at := s.Now.Add(-10 * time.Minute)
	for range r.IntN(8) {
		earlier := s
		earlier.Now = at
		earlier.Scale.Spec = 1 + r.Int32N(20)
		state = Commit(state, Decide(earlier, state), decision.Outcome{Result: decision.Succeeded})
		at = at.Add(15 * time.Second)
	}
	return s, state
}

func TestCommit(t *testing.T) {
	d := Decision{}
	d.Observed = Delta{Recommended: ptr(int32(4))}
	d.OnSuccess = Delta{Scaled: &Scaled{Direction: "Up", At: noon, Change: 2, Counted: true, LongestPeriod: 60}}
	failed := Commit(State{}, d, decision.Outcome{Result: decision.Failed})
	if !failed.LastUp.IsZero() || failed.Recommended == nil || *failed.Recommended != 4 {
		t.Errorf("after a failure only what was observed moves, got %+v", failed)
	}
	done := Commit(State{}, d, decision.Outcome{Result: decision.Succeeded})
	if !done.LastUp.Equal(noon) || !done.LastDown.IsZero() || len(done.Ups) != 1 || done.Ups[0].Change != 2 {
		t.Errorf("after success the change moves too, got %+v", done)
	}
}

func BenchmarkDecide(b *testing.B) {
	for name, pods := range map[string]int32{"pods=5": 5, "pods=50": 50, "pods=500": 500} {
		b.Run(name, func(b *testing.B) {
			s := plain(pods)
			s.HPA.Max = 1000
			s = withMetric(s, utilization(50), sampled(s.Pods, s.Now, 510))
			state := Commit(State{}, Decide(s, State{}), decision.Outcome{Result: decision.Unneeded})
			b.ReportAllocs()
			for b.Loop() {
				Decide(s, state)
			}
		})
	}
}
