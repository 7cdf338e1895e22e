package controller

import (
	"context"
	"errors"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// actuator writes the count.
type actuator struct {
	scales scaleClient
}

// Act sets the target's count on top of the scale that was observed.
func (a *actuator) Act(ctx context.Context, d replicas.Decision) decision.Outcome {
	v := visitOf(ctx)
	if err := a.scales.Set(ctx, v.scale, d.To, fieldManager); err != nil {
		v.moved = errors.Is(err, kube.ErrMoved)
		// The text alone: conditions and events quote it after words of their own.
		return decision.Outcome{Result: decision.Failed, Error: err.Error()}
	}
	return decision.Outcome{Result: decision.Succeeded}
}

// decide takes a turn, and takes it again where the cache had shown a target that
// is not so any more: the second time it is read from the API server. The visit is
// that of the last.
func (w *workers) decide(ctx context.Context, v *visit, unit decision.Unit) (replicas.Decision, decision.Outcome, error) {
	v.slots = w.slots
	d, outcome, err := w.loop.Turn(withVisit(ctx, v), unit)
	if err == nil && v.moved {
		*v = visit{slots: w.slots}
		return w.loop.Turn(withVisit(ctx, v), unit)
	}
	return d, outcome, err
}
