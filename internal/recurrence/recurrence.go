package recurrence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for images without time zones

	"github.com/robfig/cron/v3"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// MostOpen is how many open openings are given at most, the last to open. With
// durations that are longer than the time between two openings there could be
// thousands.
const MostOpen = 8

// Recurrence is a stretch of time that comes again. It is never changed and may
// be shared.
type Recurrence struct {
	open time.Duration
	cron cron.Schedule
	zone *time.Location
	// hourly tells that the hour is *.
	hourly bool
}

// Opening is one time that it comes, in UTC.
type Opening struct{ Opens, Closes time.Time }

// fields are those of a CronJob, without its names such as @daily.
var fields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Parse reads a stretch. The error says what cannot be read, and what to write in
// its place.
func Parse(w v1alpha1.RecurringWindow) (*Recurrence, error) {
	out := &Recurrence{open: w.Duration.Duration}
	if out.open <= 0 {
		return nil, fmt.Errorf("duration %s is no time: give one from 1m to 168h", w.Duration.Duration)
	}
	var err error
	if out.zone, err = readZone(w.TimeZone); err != nil {
		return nil, fmt.Errorf("timeZone %q cannot be read: %w: use a name of the IANA database, such as Europe/Berlin or Etc/UTC", w.TimeZone, err)
	}
	if out.cron, out.hourly, err = readCron(w.Cron); err != nil {
		return nil, fmt.Errorf("cron %q cannot be read: %w: use five fields (minute 0-59, hour 0-23, day of month 1-31, month 1-12, day of week 0-6), such as 0 8 * * MON-FRI", w.Cron, err)
	}
	// Some never come, such as February 30. The search ends after five years.
	if out.next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("cron %q never opens a window: there is no such date, correct its day of month or its month", w.Cron)
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

// Openings gives those that are open at a time, and the next that will be, in
// their order.
func (r *Recurrence) Openings(now time.Time) []Opening {
	now = now.UTC().Round(0)
	var out []Opening
	for at := r.next(now.Add(-r.open)); !at.IsZero(); at = r.next(at) {
		o := Opening{Opens: at, Closes: at.Add(r.open)}
		if at.After(now) {
			return append(out, o)
		}
		if len(out) == MostOpen {
			out = slices.Delete(out, 0, 1)
		}
		out = append(out, o)
	}
	return out
}
