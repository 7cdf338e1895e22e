package replicas

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
)

func TestReversals(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	up := func(minutes int) Delta {
		return Delta{Scaled: &Scaled{Direction: behavior.Up, At: at(minutes), Change: 1}}
	}
	down := func(minutes int) Delta {
		return Delta{Scaled: &Scaled{Direction: behavior.Down, At: at(minutes), Change: 1}}
	}
	seed := Delta{Seed: &Seed{LastScale: noon}}
	tests := map[string]struct {
		deltas []Delta
		want   []time.Time
	}{
		"the first change turns nothing":               {[]Delta{up(1)}, nil},
		"the same direction again":                     {[]Delta{up(1), up(2)}, nil},
		"to and fro":                                   {[]Delta{up(1), down(2), down(3), up(4)}, []time.Time{at(2), at(4)}},
		"a restart does not know the direction":        {[]Delta{seed, down(1), up(2)}, []time.Time{at(2)}},
		"what is a day old is forgotten at the next":   {[]Delta{up(1), down(2), up(3 + 24*60)}, []time.Time{at(3 + 24*60)}},
		"and stays as long as a policy may ask for it": {[]Delta{up(1), down(2), up(1 + 24*60)}, []time.Time{at(2), at(1 + 24*60)}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			var s State
			for _, d := range c.deltas {
				s = apply(s, d)
			}
			if diff := cmp.Diff(c.want, s.Reversals); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReversalsAreFew(t *testing.T) {
	var s State
	for i := range 500 {
		direction := behavior.Up
		if i%2 == 0 {
			direction = behavior.Down
		}
		before := s
		was := len(before.Reversals)
		s = apply(s, Delta{Scaled: &Scaled{Direction: direction, At: noon.Add(time.Duration(i) * time.Second)}})
		if len(before.Reversals) != was {
			t.Fatal("the state before was changed")
		}
	}
	if len(s.Reversals) != reversalsKept || !s.Reversals[reversalsKept-1].Equal(noon.Add(499*time.Second)) {
		t.Errorf("kept %d, the last %v", len(s.Reversals), s.Reversals[len(s.Reversals)-1])
	}
}
