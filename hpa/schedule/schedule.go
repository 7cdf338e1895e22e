package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for images without time zones

	"github.com/robfig/cron/v3"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// mostOpen is how many open windows of one schedule are given at most, the last
// to open. With durations that are longer than the time between two openings
// there could be thousands, all with the same bounds.
const mostOpen = 8

// Schedule is one that was read. It is never changed and may be shared.
type Schedule struct {
	window replicas.Window
	open   time.Duration
	cron   cron.Schedule
	zone   *time.Location
	// hourly tells that the hour is *.
	hourly bool
}

// fields are those of a CronJob, without its names such as @daily.
var fields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Parse reads a schedule. The error names it, what cannot be read, and what to
// write in its place.
func Parse(s v1alpha1.ReplicaSchedule) (*Schedule, error) {
	out := &Schedule{
		window: replicas.Window{Name: s.Name, Min: s.MinReplicas, Max: s.MaxReplicas},
		open:   s.Duration.Duration,
	}
	if s.RampUp != nil {
		out.window.RampUp = s.RampUp.Duration
	}
	if s.RampDown != nil {
		out.window.RampDown = s.RampDown.Duration
	}
	if out.open <= 0 {
		return nil, fmt.Errorf("schedule %q: duration %s is no time: give one from 1m to 168h", s.Name, out.open)
	}
	var err error
	if out.zone, err = readZone(s.TimeZone); err != nil {
		return nil, fmt.Errorf("schedule %q: timeZone %q cannot be read: %w: use a name of the IANA database, such as Europe/Berlin or Etc/UTC", s.Name, s.TimeZone, err)
	}
	if out.cron, out.hourly, err = readCron(s.Cron); err != nil {
		return nil, fmt.Errorf("schedule %q: cron %q cannot be read: %w: use five fields (minute 0-59, hour 0-23, day of month 1-31, month 1-12, day of week 0-6), such as 0 8 * * MON-FRI", s.Name, s.Cron, err)
	}
	// Some never come, such as February 30. The search ends after five years.
	if out.next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("schedule %q: cron %q never opens a window: there is no such date, correct its day of month or its month", s.Name, s.Cron)
	}
	return out, nil
}

func readZone(name string) (*time.Location, error) {
	switch name {
	case "":
		return time.UTC, nil
	case "Local":
		return nil, errors.New("it depends on the machine")
	}
	return time.LoadLocation(name)
}

func readCron(text string) (cron.Schedule, bool, error) {
	if strings.Contains(text, "=") {
		// The parser takes a time zone in front.
		return nil, false, errors.New("it holds a time zone, which goes to timeZone")
	}
	parsed, err := fields.Parse(text)
	if err != nil {
		return nil, false, err
	}
	parts := strings.Fields(text)
	return parsed, len(parts) > 1 && parts[1] == "*", nil
}

// Windows gives the windows that are open at a time, and the next that will open,
// in the order of their opening.
func (s *Schedule) Windows(now time.Time) []replicas.Window {
	now = now.UTC().Round(0)
	var out []replicas.Window
	for at := s.next(now.Add(-s.open)); !at.IsZero(); at = s.next(at) {
		w := s.window
		w.Opens, w.Closes = at, at.Add(s.open)
		if at.After(now) {
			return append(out, w)
		}
		if len(out) == mostOpen {
			out = slices.Delete(out, 0, 1)
		}
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
