package reaction_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/test/reaction"
)

func TestMeter(t *testing.T) {
	type event struct {
		at          time.Duration
		depth       int
		from, to    int
		isScaleMove bool
	}
	depth := func(at time.Duration, d int) event { return event{at: at, depth: d} }
	scale := func(at time.Duration, from, to int) event {
		return event{at: at, from: from, to: to, isScaleMove: true}
	}
	const s = time.Second
	cases := map[string]struct {
		events []event
		want   reaction.Summary
	}{
		"from the first publish that calls for more": {
			[]event{depth(0, 5), depth(1*s, 12), depth(2*s, 40), scale(3*s, 1, 4)},
			reaction.Summary{Count: 1, Median: 2 * s, Max: 2 * s},
		},
		"within tolerance nothing is called for": {
			[]event{depth(0, 11), scale(3*s, 1, 2)}, reaction.Summary{},
		},
		"a queue that shrinks again ends the wait": {
			[]event{depth(0, 30), depth(1*s, 5), depth(8*s, 30), scale(9*s, 1, 3)},
			reaction.Summary{Count: 1, Median: 1 * s, Max: 1 * s},
		},
		"what came after the first write waits from when it came": {
			[]event{depth(0, 30), depth(1*s, 90), scale(2*s, 1, 3), scale(4*s, 3, 9)},
			reaction.Summary{Count: 2, Median: 2 * s, Max: 3 * s},
		},
		"scaling down is no reaction": {
			[]event{depth(0, 90), depth(1*s, 1), scale(2*s, 9, 1)}, reaction.Summary{},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := reaction.NewMeter(10, 0.1, 20)
			start := time.Unix(1000, 0)
			for _, e := range c.events {
				if e.isScaleMove {
					m.Scaled(e.from, e.to, start.Add(e.at))
				} else {
					m.Depth(e.depth, start.Add(e.at))
				}
			}
			if diff := cmp.Diff(c.want, m.Summary()); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	m := reaction.NewMeter(10, 0.1, 5)
	for depth, want := range map[int]int{0: 1, 10: 1, 11: 2, 50: 5, 900: 5} {
		if got := m.Target(depth, 1); got != want {
			t.Errorf("target for %d is %d, want %d", depth, got, want)
		}
	}
}
