package replicas

import (
	"fmt"
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Resume marks a state that an earlier process, or another replica, has kept.
type Resume struct {
	// Intent is the change that was about to be made when the state was kept.
	Intent *Intent `json:"intent,omitempty"`
}

// Intent is a change of the count that is kept before it is made: whoever reads
// it cannot know whether it was.
type Intent struct {
	From int32     `json:"from"`
	To   int32     `json:"to"`
	At   time.Time `json:"at"`
	// OnSuccess is how the state moves if it was made.
	OnSuccess Delta `json:"onSuccess"`
}

// Resumed ends the mark.
type Resumed struct {
	// Made moves the state by a change that was made after the state was kept.
	Made *Delta `json:"made,omitempty"`
	// Gap stands for what was recommended while nobody decided.
	Gap *behavior.Recommendation `json:"gap,omitempty"`
}

func resumed(s State, r Resumed) State {
	s.Resume = nil
	if r.Made != nil {
		s = apply(s, *r.Made)
	}
	if r.Gap != nil {
		s.Recommendations = append(slices.Clip(s.Recommendations), *r.Gap)
	}
	return s
}

// resume goes on with a history that was kept: it settles whether a change that
// was begun was made, and bridges the time in which nobody decided.
func resume(t *turn) verdict {
	r := t.state.Resume
	if r == nil {
		return proceed
	}
	end := &Resumed{}
	message := "the history from before the start is gone on with"
	if r.Intent != nil {
		made, why := r.Intent.made(t.s, t.state)
		if made {
			end.Made = &r.Intent.OnSuccess
		}
		message += fmt.Sprintf("; a change from %d to %d was begun at %s and %s", r.Intent.From, r.Intent.To, clockTime(r.Intent.At), why)
	}
	if gap := bridge(t.s, t.state); gap != nil {
		end.Gap = gap
		message += fmt.Sprintf("; it ends before the window down, so the present count of %d is taken for what was asked for since", gap.Replicas)
	}
	t.d.Observed.Resumed = end
	t.state = apply(t.state, Delta{Resumed: end})
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: "HistoryKept", Message: message})
	return proceed
}

// made tells whether a change was carried out, and why that is thought. Where the
// count was moved on since, nothing tells: it is taken as made then, since a pause
// too much is the lesser harm.
func (in *Intent) made(s *Snapshot, known State) (bool, string) {
	second := in.At.Truncate(time.Second)
	shown := s.HPA.Status.LastScaleTime
	// The status tells whole seconds: an earlier change of the same second shows
	// the same.
	earlier := known.LastUp.Truncate(time.Second).Equal(shown) || known.LastDown.Truncate(time.Second).Equal(shown)
	switch {
	case s.Scale.Spec == in.To:
		return true, "was made"
	case !shown.IsZero() && !shown.Before(second) && !earlier:
		return true, "was made, as the status tells"
	case s.Scale.Spec == in.From:
		return false, "was not made"
	}
	return true, fmt.Sprintf("may have been made before the count went to %d: it counts", s.Scale.Spec)
}

// bridge gives a recommendation of the present count where the history says
// nothing about the window down: a count is not to fall on one look. It is dated
// so that it holds no change upwards back; where the windows leave no such time
// there is none.
func bridge(s *Snapshot, state State) *behavior.Recommendation {
	if !state.Seeded {
		return nil // it begins with the present count anyhow
	}
	w := WindowsOf(s)
	from := s.Now.Add(-w.Down)
	for _, r := range state.Recommendations {
		if r.At.After(from) {
			return nil
		}
	}
	at := s.Now.Add(-w.Up)
	if !at.After(from) {
		return nil
	}
	return &behavior.Recommendation{At: at, Replicas: s.Scale.Spec}
}
