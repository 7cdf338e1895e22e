package estimator

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// TestCheckpointsAreDue plays a day with a pass a minute: peaks and kills are
// written at once, the rest when it is due, and nothing twice.
func TestCheckpointsAreDue(t *testing.T) {
	var state State
	at := start
	turn := func(memory int64, change func(*Container)) Decision {
		at = at.Add(time.Minute)
		s := steady(at, Amounts{CPU: ptr(100), Memory: ptr(memory)})
		s.Config.CheckpointPeriod = 10 * time.Minute
		if change != nil {
			c := s.Pods["orders-1"].Containers["app"]
			change(&c)
			s.Pods["orders-1"].Containers["app"] = c
		}
		d := Decide(s, state)
		state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
		return d
	}
	app := []string{"app"}
	for name, want := range []struct {
		memory              int64
		change              func(*Container)
		checkpoints, urgent []string
	}{
		{256 << 20, nil, app, app},
		{256 << 20, nil, nil, nil},
		{257 << 20, nil, nil, nil},
		{300 << 20, nil, app, app},
		{100 << 20, nil, nil, nil},
		{100 << 20, func(c *Container) { c.Killed = at }, app, app},
		{100 << 20, nil, nil, nil},
		{100 << 20, nil, app, nil},
		{100 << 20, nil, nil, nil},
	} {
		d := turn(want.memory, want.change)
		if diff := cmp.Diff([][]string{want.checkpoints, want.urgent}, [][]string{d.Checkpoints, d.Urgent}); diff != "" {
			t.Errorf("minute %d: to be written, and at once (-want +got):\n%s", name, diff)
		}
	}
	if written := turn(100<<20, func(c *Container) { c.Usage = Amounts{} }); len(written.Checkpoints) > 0 {
		t.Errorf("nothing is known that was not: %v", written.Checkpoints)
	}
}

// TestAFailedTurnLeavesItUnsaved: what was not handed over is due again.
func TestAFailedTurnLeavesItUnsaved(t *testing.T) {
	s := steady(start, Amounts{CPU: ptr(100), Memory: ptr(256 << 20)})
	state := Commit(State{}, Decide(s, State{}), decision.Outcome{Result: decision.Failed})
	if diff := cmp.Diff([]string{"app"}, state.Unsaved); diff != "" {
		t.Errorf("unsaved (-want +got):\n%s", diff)
	}
	s.Now = s.Now.Add(time.Second)
	if d := Decide(s, state); len(d.Checkpoints) != 1 {
		t.Errorf("to be written: %v", d.Checkpoints)
	}
}

// TestBoundsThatHardlyMove: they are no reason to write a status, until they have
// moved far enough, and a target always is.
func TestBoundsThatHardlyMove(t *testing.T) {
	tolerant := func(s *Snapshot) { s.Config.BoundsTolerance = 0.001 }
	d, state := days(3, Amounts{CPU: ptr(100), Memory: ptr(256 << 20)}, tolerant)
	shown := d.To
	written := 0
	at := start.Add(3 * 24 * time.Hour)
	for i := range 120 {
		s := steady(at.Add(time.Duration(i)*time.Minute), Amounts{CPU: ptr(100), Memory: ptr(256 << 20)})
		tolerant(&s)
		s.VPA.Recommended = shown
		d = Decide(s, state)
		state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
		if d.Status.Scope == ScopeAll && !d.To.Equal(shown) {
			shown = d.To
			written++
		} else if d.Act && len(d.Checkpoints) == 0 {
			t.Fatalf("minute %d: an action for nothing: %s", i, d.Reason)
		}
		if !d.To.near(shown, 0.001) {
			t.Fatalf("minute %d: shown are %v, decided on %v", i, shown, d.To)
		}
	}
	if written == 0 || written > 12 {
		t.Errorf("%d of 120 turns write the status, want a few", written)
	}
	s := steady(at.Add(3*time.Hour), Amounts{CPU: ptr(100), Memory: ptr(400 << 20)})
	tolerant(&s)
	s.VPA.Recommended = shown
	if d := Decide(s, state); d.Reason != ReasonRecommended || d.Status.Scope != ScopeAll {
		t.Errorf("a new target: %s, scope %s", d.Reason, d.Status.Scope)
	}
}
