package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// actuator writes recommendations and history.
type actuator struct {
	status      *statusWriter
	checkpoints *checkpoints
	config      estimator.Config
	// state is the loop's, from before the decision.
	state func(decision.Unit) estimator.State
}

// Act writes the status, and the checkpoints that are due with what the decision
// learned. Both are tried, whatever becomes of the other.
func (a *actuator) Act(ctx context.Context, d estimator.Decision) decision.Outcome {
	var errs []error
	if err := a.status.write(ctx, visitOf(ctx), d); err != nil {
		errs = append(errs, fmt.Errorf("write the status: %w", err))
	}
	if len(d.Checkpoints) > 0 {
		learned := estimator.Apply(a.state(d.Unit), d.Observed)
		errs = append(errs, a.checkpoints.write(ctx, d, learned, a.config))
	}
	if err := errors.Join(errs...); err != nil {
		// The text alone: events quote it after words of their own.
		return decision.Outcome{Result: decision.Failed, Error: err.Error()}
	}
	return decision.Outcome{Result: decision.Succeeded}
}
