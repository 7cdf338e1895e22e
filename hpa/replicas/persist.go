package replicas

import (
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Windows are how far back the rules of one object look.
type Windows struct {
	// Up and Down are the stabilization windows.
	Up, Down time.Duration
	// UpPeriod and DownPeriod are the longest periods of the rate policies of each
	// direction, 0 without any.
	UpPeriod, DownPeriod time.Duration
}

// WindowsOf gives the windows that a snapshot is decided by.
func WindowsOf(s *Snapshot) Windows {
	w := Windows{Down: s.Config.DownscaleStabilization}
	if b := s.HPA.Behavior; b != nil {
		w = Windows{
			Up: span(b.Up.WindowSeconds), Down: span(b.Down.WindowSeconds),
			UpPeriod: span(b.Up.LongestPeriod()), DownPeriod: span(b.Down.LongestPeriod()),
		}
	}
	return w
}

func span(seconds int32) time.Duration { return time.Duration(seconds) * time.Second }

// Compact gives the least state that decides as the given one does, at any time
// from now on, as long as the windows stay. Of the recommendations these are the
// extremes: one that a later one equals or exceeds is of no use to the window
// down, and one that a later one equals or falls below of none to the window up.
// It does not change its argument.
func Compact(s State, w Windows, now time.Time) State {
	s.Recommendations = extremes(s.Recommendations, w, now)
	longest := max(w.UpPeriod, w.DownPeriod)
	s.Ups = counted(s.Ups, w.UpPeriod, longest, now)
	s.Downs = counted(s.Downs, w.DownPeriod, longest, now)
	return s
}

func extremes(all []behavior.Recommendation, w Windows, now time.Time) []behavior.Recommendation {
	if len(all) == 0 {
		return nil
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b behavior.Recommendation) int { return a.At.Compare(b.At) })
	up, down := now.Add(-w.Up), now.Add(-w.Down)
	var kept []behavior.Recommendation
	highest, lowest := int32(0), int32(0)
	for i := len(sorted) - 1; i >= 0; i-- {
		r := sorted[i]
		inUp, inDown := !r.At.Before(up), !r.At.Before(down)
		if !inUp && !inDown {
			break
		}
		newest := len(kept) == 0
		if newest || inDown && r.Replicas > highest || inUp && r.Replicas < lowest {
			kept = append(kept, r)
		}
		if newest {
			highest, lowest = r.Replicas, r.Replicas
		}
		highest, lowest = max(highest, r.Replicas), min(lowest, r.Replicas)
	}
	slices.Reverse(kept)
	return kept
}

// counted keeps the changes that a period can still hold. An outdated one gives
// its place to the next change, and where the other direction looks back further
// than its own it matters which does: the places stay then, without what was in
// them.
func counted(events []behavior.Event, own, longest time.Duration, now time.Time) []behavior.Event {
	from := now.Add(-longest)
	var kept []behavior.Event
	for _, e := range events {
		switch {
		case e.At.After(from):
			kept = append(kept, e)
		case own < longest:
			kept = append(kept, behavior.Event{Outdated: true})
		}
	}
	return kept
}

// Intending gives the state to keep before a decision's action: as the turn
// leaves it if the action fails, with what it changes if it does not.
func Intending(before State, d Decision) State {
	s := Commit(before, d, decision.Outcome{Result: decision.Withheld})
	s.Resume = &Resume{Intent: &Intent{From: d.From, To: d.To, At: d.At, OnSuccess: d.OnSuccess}}
	return s
}

// Restored gives a state that was kept as it is to be gone on with. A time after
// now is that of another clock: as it cannot be, it becomes now.
func Restored(s State, now time.Time) State {
	clamp := func(at *time.Time) {
		if at.After(now) {
			*at = now
		}
	}
	s.Recommendations = slices.Clone(s.Recommendations)
	for i := range s.Recommendations {
		clamp(&s.Recommendations[i].At)
	}
	for _, events := range []*[]behavior.Event{&s.Ups, &s.Downs} {
		*events = slices.Clone(*events)
		for i := range *events {
			clamp(&(*events)[i].At)
		}
	}
	s.Reversals = slices.Clone(s.Reversals)
	for i := range s.Reversals {
		clamp(&s.Reversals[i])
	}
	clamp(&s.MetricsLostAt)
	clamp(&s.LastUp)
	clamp(&s.LastDown)
	clamp(&s.ActedAt)
	r := Resume{}
	if s.Resume != nil && s.Resume.Intent != nil {
		in := *s.Resume.Intent
		clamp(&in.At)
		if in.OnSuccess.Scaled != nil {
			scaled := *in.OnSuccess.Scaled
			clamp(&scaled.At)
			in.OnSuccess.Scaled = &scaled
		}
		r.Intent = &in
	}
	s.Resume = &r
	return s
}
