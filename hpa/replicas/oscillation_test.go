package replicas

import (
	"slices"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// TestOscillationIsToldOf has the load jump to and fro, then stand still.
func TestOscillationIsToldOf(t *testing.T) {
	w := newWorld(4)
	w.snapshot = withMetric(w.snapshot, externalAverage(1000), Samples{})
	w.snapshot.Config.DownscaleStabilization = 0
	events := 0
	turn := func(load int64) bool {
		w.snapshot.Samples[Key(0)] = Samples{At: w.snapshot.Now, Values: []int64{load * 1000}}
		d, _ := w.turn(t)
		for _, e := range d.Events {
			if e.Reason == ReasonOscillates {
				events++
			}
		}
		w.snapshot.Now = w.snapshot.Now.Add(time.Minute)
		return slices.ContainsFunc(d.Conditions, func(c decision.Condition) bool { return c.Type == Oscillating })
	}
	shown := []int{}
	for i := range 80 {
		load := int64(4 + 4*(i%2))
		if i > 10 {
			load = 4
		}
		if turn(load) {
			shown = append(shown, i)
		}
	}
	// The first change reverses nothing. Four reversals are there after turn 5, and
	// fewer than two in the window from turn 40 on.
	if len(shown) == 0 || shown[0] != 6 || shown[len(shown)-1] != 38 || len(shown) != 33 {
		t.Errorf("shown in turns %v", shown)
	}
	if events != 1 {
		t.Errorf("told %d times", events)
	}
	if slices.Contains(w.snapshot.HPA.Status.Shown, Oscillating) {
		t.Error("the condition stayed")
	}
}
