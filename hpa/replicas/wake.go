package replicas

import (
	"cmp"
	"time"
)

// NextChange is when time alone may change what is decided on an object, after
// now: a window of the policy opens or closes, its pause ends, the delay after
// the last change does, or a fallback begins. It is zero where nothing does. A
// turn is due then, however long the period.
func NextChange(p *Policy, c Config, s State, now time.Time) time.Time {
	var next time.Time
	at := func(when time.Time) {
		if when.After(now) && (next.IsZero() || when.Before(next)) {
			next = when
		}
	}
	after := func(since time.Time, d time.Duration) {
		if d > 0 && !since.IsZero() {
			at(since.Add(d))
		}
	}
	up, down := &c.UpscaleDelay, &c.DownscaleDelay
	if p != nil {
		up, down = cmp.Or(p.UpscaleDelay, up), cmp.Or(p.DownscaleDelay, down)
		for _, w := range p.Windows {
			at(w.Opens)
			at(w.Closes)
		}
		if p.Pause != nil {
			at(p.Pause.Until)
		}
		if p.Fallback != nil {
			after(s.MetricsLostAt, p.Fallback.After)
		}
	}
	after(s.LastUp, *up)
	after(s.LastDown, *down)
	return next
}
