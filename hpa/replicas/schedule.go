package replicas

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// limits are the bounds in force: the object's own, or those of the schedule
// windows that are open.
type limits struct {
	Min, Max int32
	// MinBy and MaxBy name the windows that set them, empty where the object does.
	MinBy, MaxBy string
	// Awake tells that a minimum of 0 counts as 1.
	Awake bool
	// Raised tells that the minimum went before a lower maximum, which is kept
	// in Below.
	Raised bool
	Below  int32
}

// limitsOf gives the bounds in force. Inside a window its bounds hold in place
// of the object's own; of several the highest minimum and the lowest maximum,
// and the minimum goes before the maximum.
func limitsOf(s *Snapshot) limits {
	l := limits{Min: s.HPA.Min, Max: s.HPA.Max}
	if s.Policy == nil {
		return l
	}
	for i := range s.Policy.Windows {
		w := &s.Policy.Windows[i]
		if !w.open(s.Now) {
			continue
		}
		if w.Min != nil {
			if m := w.minimum(s.Now, s.HPA.Min); l.MinBy == "" || m > l.Min {
				l.Min, l.MinBy = m, w.Name
			}
		}
		if w.Max != nil && (l.MaxBy == "" || *w.Max < l.Max) {
			l.Max, l.MaxBy = max(*w.Max, 0), w.Name
		}
	}
	if l.MinBy == "" && l.MaxBy == "" {
		return l
	}
	if l.MinBy != "" && l.Min <= 0 && (!wakes(s) || !s.Gates.ScaleToZero) {
		l.Min, l.Awake = 1, true
	}
	if l.Max < l.Min {
		l.Below, l.Raised = l.Max, true
		l.Max = l.Min
		if l.MaxBy == "" {
			l.MaxBy = l.MinBy
		}
	}
	return l
}

func (w *Window) open(now time.Time) bool { return !now.Before(w.Opens) && now.Before(w.Closes) }

// minimum is the window's minimum now: Min, or a count between the object's own
// and Min while a ramp runs. It is rounded up, to the side of more replicas.
func (w *Window) minimum(now time.Time, own int32) int32 {
	goal := max(*w.Min, 0)
	switch {
	case now.Before(w.Opens.Add(w.RampUp)):
		return between(own, goal, now.Sub(w.Opens), w.RampUp)
	case now.After(w.Closes.Add(-w.RampDown)):
		return between(own, goal, w.Closes.Sub(now), w.RampDown)
	}
	return goal
}

// between goes the part of the way from a count to another, rounded up. Part
// and whole are not negative, and the whole is not zero.
func between(from, to int32, part, whole time.Duration) int32 {
	way := int64(to) - int64(from)
	if way >= 0 {
		// What is still to come is rounded down.
		return clampCount(int64(to) - scale(way, int64(whole-part), int64(whole)))
	}
	return clampCount(int64(from) - scale(-way, int64(part), int64(whole)))
}

func clampCount(n int64) int32 { return int32(min(max(n, 0), 1<<31-1)) }

// schedule puts the bounds in force in the place of the object's own.
func schedule(t *turn) verdict {
	if t.s.Policy == nil || len(t.s.Policy.Windows) == 0 {
		return proceed
	}
	reason := "NoWindowOpen"
	if t.limits.scheduled() {
		reason = ReasonScheduled
	}
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: reason, Message: t.scheduleText()})
	t.s.HPA.Min, t.s.HPA.Max = t.limits.Min, t.limits.Max
	return proceed
}

func (l limits) scheduled() bool { return l.MinBy != "" || l.MaxBy != "" }

// scheduleText tells the bounds in force, until when, and what comes next.
func (t *turn) scheduleText() string {
	l, p := t.limits, t.s.Policy
	var open []string
	var next *Window
	for i := range p.Windows {
		w := &p.Windows[i]
		if w.open(t.s.Now) {
			open = append(open, w.text(t.s.Now))
		} else if w.Opens.After(t.s.Now) && (next == nil || w.Opens.Before(next.Opens)) {
			next = w
		}
	}
	slices.Sort(open)
	text := fmt.Sprintf("no schedule is open, bounds %d to %d", l.Min, l.Max)
	if l.scheduled() {
		text = fmt.Sprintf("bounds %d to %d in place of %d to %d by %s", l.Min, l.Max, t.own.Min, t.own.Max, strings.Join(open, ", "))
	}
	if l.Awake {
		text += "; a minimum of 0 counts as 1, since no Object or External metric could end it"
	}
	if l.Raised {
		text += fmt.Sprintf("; the minimum goes before the maximum of %d", l.Below)
	}
	if next != nil {
		text += fmt.Sprintf("; next schedule %s opens at %s%s", next.Name, instant(next.Opens), next.boundsText())
	}
	return text
}

// text names an open window and tells until when it bounds, and its ramp.
func (w *Window) text(now time.Time) string {
	text := fmt.Sprintf("schedule %s until %s", w.Name, instant(w.Closes))
	if w.Min == nil {
		return text
	}
	if top := w.Opens.Add(w.RampUp); now.Before(top) {
		return fmt.Sprintf("%s (its minimum goes to %d until %s)", text, *w.Min, instant(top))
	}
	if now.After(w.Closes.Add(-w.RampDown)) {
		return fmt.Sprintf("%s (its minimum of %d goes back until then)", text, *w.Min)
	}
	return text
}

func (w *Window) boundsText() string {
	var parts []string
	if w.Min != nil {
		parts = append(parts, fmt.Sprintf("minimum %d", *w.Min))
	}
	if w.Max != nil {
		parts = append(parts, fmt.Sprintf("maximum %d", *w.Max))
	}
	if len(parts) == 0 {
		return ""
	}
	return " with " + strings.Join(parts, " and ")
}

// leavesZeroAtOnce tells whether a zero of our own is below the minimum of an
// object with schedules: it is left then whatever the metrics say, and even
// where they fail.
func leavesZeroAtOnce(s *Snapshot) bool {
	return s.Scale.Spec == 0 && ownZero(s) && s.HPA.Min > 0 && s.Policy != nil && len(s.Policy.Windows) > 0
}

// instant writes a time so that it can be read on any day.
func instant(at time.Time) string { return at.UTC().Format(time.RFC3339) }
