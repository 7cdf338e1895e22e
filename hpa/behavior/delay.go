package behavior

import "time"

// Delays forbid a change for a time after the last one of its own direction.
type Delays struct {
	// Up and Down are the delays, 0 for none.
	Up, Down time.Duration
	// LastUp and LastDown are when the last change of each direction was carried
	// out, zero where there was none.
	LastUp, LastDown time.Time
}

// Hold keeps the current count while the delay of the proposal's direction
// runs. The second value is when it ends, zero where nothing is held.
func (d Delays) Hold(now time.Time, current, proposal int32) (Result, time.Time) {
	switch {
	case proposal > current && running(now, d.LastUp, d.Up):
		return Result{Replicas: current, Reason: ReasonBackoffUp, Message: messageBackoffUp, Limited: true}, d.LastUp.Add(d.Up)
	case proposal < current && running(now, d.LastDown, d.Down):
		return Result{Replicas: current, Reason: ReasonBackoffDown, Message: messageBackoffDown, Limited: true}, d.LastDown.Add(d.Down)
	}
	return Result{Replicas: proposal}, time.Time{}
}

func running(now, last time.Time, delay time.Duration) bool {
	return delay > 0 && !last.IsZero() && now.Before(last.Add(delay))
}
