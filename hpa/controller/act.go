package controller

import (
	"context"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// actuator writes the count.
type actuator struct {
	scales *kube.Scales
}

// Act sets the target's count on top of the scale that was observed.
func (a *actuator) Act(ctx context.Context, d replicas.Decision) decision.Outcome {
	if err := a.scales.Set(ctx, visitOf(ctx).scale, d.To, fieldManager); err != nil {
		// The text alone: conditions and events quote it after words of their own.
		return decision.Outcome{Result: decision.Failed, Error: err.Error()}
	}
	return decision.Outcome{Result: decision.Succeeded}
}
