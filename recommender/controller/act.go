package controller

import (
	"context"
	"fmt"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// actuator writes recommendations. History is written by the loop's keeper, once
// it has been learned.
type actuator struct {
	status *statusWriter
	// bounds is nil where each change of bounds is written at once.
	bounds *boundsWriter
}

// Act writes the status, or hands it over to be written where only bounds moved.
func (a *actuator) Act(ctx context.Context, d estimator.Decision) decision.Outcome {
	v := visitOf(ctx)
	if a.bounds != nil && d.Reason == estimator.ReasonBounds && onlyBounds(v, d) {
		v.later = true
		a.bounds.later(d)
		return decision.Outcome{Result: decision.Succeeded}
	}
	if err := a.status.write(ctx, v, d); err != nil {
		// The text alone: events quote it after words of their own.
		return decision.Outcome{Result: decision.Failed, Error: fmt.Errorf("write the status: %w", err).Error()}
	}
	v.written = true
	return decision.Outcome{Result: decision.Succeeded}
}
