package replicas

import (
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
)

// runs tells whether the pause, which may be nil, stops anything now.
func (p *Pause) runs(now time.Time) bool {
	return p != nil && (p.Until.IsZero() || now.Before(p.Until))
}

// stops tells whether the pause stops a change of the direction.
func (p *Pause) stops(direction string) bool {
	return p.Direction == PauseBoth || p.Direction == direction
}

// text tells what is paused and until when.
func (p *Pause) text() string {
	what := "scaling"
	switch p.Direction {
	case behavior.Up:
		what = "scaling up"
	case behavior.Down:
		what = "scaling down"
	}
	if p.Until.IsZero() {
		return what + " is paused until the pause is lifted"
	}
	return fmt.Sprintf("%s is paused until %s", what, instant(p.Until))
}

// pause holds the count where it is. It is asked after all other rules, so that
// it holds the corrections to the bounds too.
func pause(t *turn) verdict {
	if t.s.Policy == nil || !t.s.Policy.Pause.runs(t.s.Now) || t.desired == t.current {
		return proceed
	}
	direction := behavior.Up
	t.rule = "pause/up"
	if t.desired < t.current {
		direction, t.rule = behavior.Down, "pause/down"
	}
	if !t.s.Policy.Pause.stops(direction) {
		return proceed
	}
	t.why = t.s.Policy.Source + ": " + t.s.Policy.Pause.text()
	t.step(t.current, ReasonPaused, t.why)
	t.desired = t.current
	return proceed
}
