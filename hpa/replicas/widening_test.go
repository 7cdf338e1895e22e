package replicas

import (
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
)

func TestWiderTolerance(t *testing.T) {
	ago := func(minutes ...int) []time.Time {
		var out []time.Time
		for _, m := range minutes {
			out = append(out, noon.Add(-time.Duration(m)*time.Minute))
		}
		return out
	}
	ruled := func(up, down *float64) *behavior.Behavior {
		return &behavior.Behavior{Up: behavior.Rules{Tolerance: up}, Down: behavior.Rules{Tolerance: down}}
	}
	tests := map[string]struct {
		reversals []time.Time
		behavior  *behavior.Behavior
		want      tolerance
		until     string
	}{
		"too few":                         {ago(20, 10), nil, tolerance{down: 0.1, up: 0.1}, ""},
		"too few in the window":           {ago(30, 20, 10), nil, tolerance{down: 0.1, up: 0.1}, ""},
		"as many as it takes":             {ago(29, 20, 10), nil, tolerance{down: 0.3, up: 0.3}, "2026-01-02T12:01:00Z"},
		"more: it ends with those beyond": {ago(29, 20, 10, 5), nil, tolerance{down: 0.3, up: 0.3}, "2026-01-02T12:10:00Z"},
		"behavior that leaves it open":    {ago(20, 10, 5), ruled(nil, nil), tolerance{down: 0.3, up: 0.3}, "2026-01-02T12:10:00Z"},
		"a wider one stays":               {ago(20, 10, 5), ruled(ptr(0.5), ptr(0.2)), tolerance{down: 0.3, up: 0.5}, "2026-01-02T12:10:00Z"},
		"wider ones both":                 {ago(20, 10, 5), ruled(ptr(0.5), ptr(0.4)), tolerance{down: 0.4, up: 0.5}, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			s := plain(3)
			s.HPA.Behavior = c.behavior
			s.Policy = &Policy{Oscillation: &Oscillation{Window: 30 * time.Minute, Changes: 3, Tolerance: 0.3}}
			before := encode(t, s)
			laid := s
			turn := &turn{s: &laid, state: State{Reversals: c.reversals}}
			widenTolerance(turn)
			if got := tolerances(&laid); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if (c.until == "") != (turn.widened == "") || !strings.Contains(turn.widened, c.until) {
				t.Errorf("got %q, want until %q", turn.widened, c.until)
			}
			if encode(t, s) != before {
				t.Error("the snapshot changed")
			}
		})
	}
}
