package behavior

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// past builds recommendations from their age in seconds and their count.
func past(pairs ...int) []Recommendation {
	var out []Recommendation
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Recommendation{At: noon.Add(-time.Duration(pairs[i]) * time.Second), Replicas: int32(pairs[i+1])})
	}
	return out
}

func TestStabilizeDown(t *testing.T) {
	tests := map[string]struct {
		history  []Recommendation
		window   time.Duration
		proposal int32
		want     int32
		reason   string
		slot     int
	}{
		"no history":                      {nil, time.Minute, 3, 3, ReasonReady, 0},
		"higher inside the window holds":  {past(30, 8), time.Minute, 3, 8, ReasonDownStabilized, 1},
		"higher at the window's edge":     {past(60, 8), time.Minute, 3, 8, ReasonDownStabilized, 1},
		"higher just outside is past":     {past(61, 8), time.Minute, 3, 3, ReasonReady, 0},
		"upwards is never held":           {past(30, 2), time.Minute, 9, 9, ReasonReady, 1},
		"the last old one gives its slot": {past(90, 8, 61, 9, 30, 1), time.Minute, 3, 3, ReasonReady, 1},
		"no window":                       {past(1, 8), 0, 3, 3, ReasonReady, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, slot := StabilizeDown(tc.history, noon, tc.window, tc.proposal)
			if got.Replicas != tc.want || got.Reason != tc.reason || slot.Index != tc.slot {
				t.Errorf("got %+v in slot %d, want %d %s in slot %d", got, slot.Index, tc.want, tc.reason, tc.slot)
			}
			if got.Limited != (tc.want != tc.proposal) {
				t.Errorf("Limited = %v", got.Limited)
			}
		})
	}
}

func TestStabilize(t *testing.T) {
	tests := map[string]struct {
		history           []Recommendation
		up, down          int32
		current, proposal int32
		want              int32
		reason            string
	}{
		"no windows pass everything":              {past(5, 1), 0, 0, 4, 9, 9, ReasonReady},
		"up window takes the lowest":              {past(50, 6, 20, 7), 60, 0, 4, 9, 6, ReasonUpStabilized},
		"up window never goes below the current":  {past(50, 2), 60, 0, 4, 9, 4, ReasonUpStabilized},
		"down window takes the highest":           {past(50, 8, 20, 6), 0, 60, 9, 2, 8, ReasonDownStabilized},
		"down window never goes over the current": {past(50, 20), 0, 60, 9, 2, 9, ReasonDownStabilized},
		"both windows hold a wave":                {past(50, 2, 20, 9), 60, 60, 5, 7, 5, ReasonUpStabilized},
		"the edge of a window is outside":         {past(60, 20), 0, 60, 9, 2, 2, ReasonReady},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := Behavior{Up: Rules{WindowSeconds: tc.up}, Down: Rules{WindowSeconds: tc.down}}
			got, _ := Stabilize(tc.history, noon, b, tc.current, tc.proposal)
			if got.Replicas != tc.want || got.Reason != tc.reason {
				t.Errorf("got %+v, want %d %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestRememberLeavesTheArgument(t *testing.T) {
	history := past(30, 1, 20, 2)
	before := past(30, 1, 20, 2)
	slot := Slot{Index: 0, Recommendation: Recommendation{At: noon, Replicas: 5}}
	got := Remember(history, slot)
	slot.Index = 2
	longer := Remember(history, slot)
	if diff := cmp.Diff(before, history); diff != "" {
		t.Errorf("the argument changed:\n%s", diff)
	}
	if got[0].Replicas != 5 || len(got) != 2 || len(longer) != 3 || longer[2].Replicas != 5 {
		t.Errorf("got %v and %v", got, longer)
	}
}
