package recurrence

import "time"

// next is the first opening after a time, zero where there is none within five
// years.
func (r *Recurrence) next(after time.Time) time.Time {
	if r.hourly {
		return r.nextHourly(after)
	}
	// What the clocks show is reckoned with as if it were UTC, where every time
	// comes once, and brought back to the time at which they show it.
	shown := clocks(after, r.zone)
	for {
		if shown = r.cron.Next(shown); shown.IsZero() {
			return time.Time{}
		}
		if at := moment(shown, r.zone); at.After(after) {
			return at
		}
	}
}

// nextHourly goes from one change of the clocks to the next: between two of them
// an hour that passes is one that the clocks show.
func (r *Recurrence) nextHourly(after time.Time) time.Time {
	for {
		local := after.In(r.zone)
		_, offset := local.Zone()
		east := time.Duration(offset) * time.Second
		shown := r.cron.Next(after.UTC().Add(east))
		if shown.IsZero() {
			return time.Time{}
		}
		at := shown.Add(-east)
		_, end := local.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		// The opening may be at the change itself, with what the clocks show then.
		change := clocks(end, r.zone)
		if first := r.cron.Next(change.Add(-time.Second)); first.Equal(change) {
			return end.UTC()
		}
		after = end
	}
}

// clocks is what the zone's clocks show, as if it were UTC.
func clocks(at time.Time, zone *time.Location) time.Time {
	local := at.In(zone)
	return time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
}

// moment is when the zone's clocks show a time: the first moment where they do
// twice, and the moment of the change where they never do.
func moment(shown time.Time, zone *time.Location) time.Time {
	at := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), 0, zone)
	start, end := at.ZoneBounds()
	if clocks(at, zone).Equal(shown) {
		if !start.IsZero() {
			_, before := start.Add(-time.Second).Zone()
			earlier := shown.Add(-time.Duration(before) * time.Second)
			if earlier.Before(start) && clocks(earlier, zone).Equal(shown) {
				return earlier.UTC()
			}
		}
		return at.UTC()
	}
	for _, change := range []time.Time{start, end} {
		if !change.IsZero() && skips(change, shown, zone) {
			return change.UTC()
		}
	}
	return at.UTC()
}

// skips tells whether the clocks jump over a time at a change.
func skips(change, shown time.Time, zone *time.Location) bool {
	_, before := change.Add(-time.Second).In(zone).Zone()
	jumped := change.UTC().Add(time.Duration(before) * time.Second)
	return !shown.Before(jumped) && shown.Before(clocks(change, zone))
}
