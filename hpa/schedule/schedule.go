package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/recurrence"
)

// Schedule is one that was read. It is never changed and may be shared.
type Schedule struct {
	window replicas.Window
	comes  *recurrence.Recurrence
}

// Parse reads a schedule. The error names it, what cannot be read, and what to
// write in its place.
func Parse(s v1alpha1.ReplicaSchedule) (*Schedule, error) {
	out := &Schedule{window: replicas.Window{Name: s.Name, Min: s.MinReplicas, Max: s.MaxReplicas}}
	if s.RampUp != nil {
		out.window.RampUp = s.RampUp.Duration
	}
	if s.RampDown != nil {
		out.window.RampDown = s.RampDown.Duration
	}
	var err error
	if out.comes, err = recurrence.Parse(s.RecurringWindow); err != nil {
		return nil, fmt.Errorf("schedule %q: %w", s.Name, err)
	}
	return out, nil
}

// Windows gives the windows that are open at a time, and the next that will open,
// in the order of their opening.
func (s *Schedule) Windows(now time.Time) []replicas.Window {
	var out []replicas.Window
	for _, o := range s.comes.Openings(now) {
		w := s.window
		w.Opens, w.Closes = o.Opens, o.Closes
		out = append(out, w)
	}
	return out
}

// Resolve gives the windows of all schedules in the order of their opening and
// then of their names.
func Resolve(all []*Schedule, now time.Time) []replicas.Window {
	var out []replicas.Window
	for _, s := range all {
		out = append(out, s.Windows(now)...)
	}
	slices.SortStableFunc(out, func(a, b replicas.Window) int {
		return cmp.Or(a.Opens.Compare(b.Opens), strings.Compare(a.Name, b.Name))
	})
	return out
}

// Next is when the first of the windows opens or closes after a time; zero where
// none does.
func Next(windows []replicas.Window, now time.Time) time.Time {
	var next time.Time
	for _, w := range windows {
		for _, at := range []time.Time{w.Opens, w.Closes} {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}
