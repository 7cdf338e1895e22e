package query_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// randomPolicy is any policy, those that no API would admit included.
func randomPolicy(r *rand.Rand) query.OnStale {
	p := query.OnStale{Policy: []query.StalePolicy{"", query.StaleError, query.StaleHold, query.StaleFloor, "Other"}[r.IntN(5)]}
	if p.Policy == query.StaleFloor {
		p.Floor = float64(r.IntN(40) - 5)
	}
	if r.IntN(2) == 0 {
		atMost := time.Duration(r.IntN(20)) * time.Second
		p.AtMost = &atMost
	}
	return p
}

// checkServed holds one read to what was measured: the only thing that a policy
// may add is a floor that was declared, and only in its time.
func checkServed(t *testing.T, f query.Facts, s query.Sample, now time.Time) {
	t.Helper()
	served, fault := query.Serve(s, f, now)
	if judged := query.Judge(s, f, now); (judged == nil) != (fault == nil) {
		t.Fatalf("Serve says %v and Judge %v", fault, judged)
	}
	if fault != nil {
		if served.Value != 0 || served.Fault != fault {
			t.Fatalf("a fault with a value: %+v", served)
		}
		return
	}
	age := now.Sub(f.SampledAt)
	declared := f.OnStale.Policy == query.StaleHold || f.OnStale.Policy == query.StaleFloor
	switch {
	case f.SampledAt.IsZero() || s.Fault != nil:
		t.Fatalf("%v is served out of nothing: %+v", served.Value, s)
	case age > f.MaxAge && !declared:
		t.Fatalf("a sample %s old is served under policy %q", age, f.OnStale.Policy)
	case age > f.MaxAge && f.OnStale.AtMost != nil && age > f.MaxAge+*f.OnStale.AtMost:
		t.Fatalf("a sample %s old is served past maxAge and atMost %s", age, *f.OnStale.AtMost)
	case served.Value == s.Value:
	case f.OnStale.Policy != query.StaleFloor || age <= f.MaxAge || served.Value != f.OnStale.Floor || s.Value > served.Value:
		t.Fatalf("%v is served for %v with %+v at an age of %s", served.Value, s.Value, f.OnStale, age)
	}
}

// TestAPolicyMakesNothingUp plays random histories under every policy: what is
// served was measured or is the declared floor, within maxAge and atMost, with a
// time that is never newer than the reading's, and a decision says what a read
// does.
func TestAPolicyMakesNothingUp(t *testing.T) {
	held := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		s, state := start(), query.State{}
		s.Spec.MaxAge, s.Spec.OnStale = 5*time.Second, randomPolicy(r)
		for range 40 {
			s = nextSnapshot(r, s)
			d := query.Decide(s, state)
			state = query.Commit(state, d, decision.Outcome{Result: decision.Succeeded})
			facts := state.Served.Facts
			if s.Poll.Reading != nil && !facts.SampledAt.Equal(s.Poll.Reading.At) {
				t.Fatalf("seed %d: the time served is %s, the reading's %s", seed, facts.SampledAt, s.Poll.Reading.At)
			}
			fresh, _ := d.Find(query.ConditionFresh)
			stands := fresh.Reason == "Held" || fresh.Reason == "Floored"
			if stands != facts.StandsIn(facts.SampledAt, s.Now) {
				t.Fatalf("seed %d: condition Fresh is %+v and a read says otherwise", seed, fresh)
			}
			if stands {
				held++
			}
			if !d.RecheckAt.IsZero() && !d.RecheckAt.After(s.Now) {
				t.Fatalf("seed %d: to be decided again at %s, before %s", seed, d.RecheckAt, s.Now)
			}
			late := s.Now.Add(time.Duration(r.IntN(40)) * time.Second)
			for _, sample := range state.Served.Samples {
				checkServed(t, facts, sample, s.Now)
				checkServed(t, facts, sample, late)
			}
		}
	}
	if held < 100 {
		t.Errorf("a policy stood in %d times only: the histories try nothing", held)
	}
}

// FuzzServe reads any sample of any age under any policy.
func FuzzServe(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef01234567"), "Floor", true)
	f.Fuzz(func(t *testing.T, data []byte, policy string, bounded bool) {
		if len(data) < 40 {
			return
		}
		word := func(i int) int64 { return int64(binary.LittleEndian.Uint64(data[8*i:])) }
		value, floor := math.Float64frombits(uint64(word(0))), math.Float64frombits(uint64(word(1)))
		if math.IsNaN(value) || math.IsNaN(floor) {
			return // neither a reading nor a quantity can hold it
		}
		facts := query.Facts{
			MaxAge: time.Duration(word(2) & math.MaxInt32), SampledAt: epoch,
			OnStale: query.OnStale{Policy: query.StalePolicy(policy), Floor: floor},
		}
		if bounded {
			atMost := time.Duration(word(3) & math.MaxInt32)
			facts.OnStale.AtMost = &atMost
		}
		checkServed(t, facts, query.Sample{Metric: "depth", Value: value}, epoch.Add(time.Duration(word(4))))
	})
}
