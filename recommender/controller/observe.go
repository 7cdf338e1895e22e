package controller

import (
	"context"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// observer gathers a snapshot.
type observer struct {
	mode    string
	config  estimator.Config
	vpas    *vpaCache
	pods    *podCache
	targets *targets
	// policies are nil where none are read.
	policies *policies.Cache
	// horizontals are nil where none are read.
	horizontals *horizontals
	library     *library
	// evictions are nil where no events are watched.
	evictions *evictions
}

// Observe gathers everything that the decision on one object needs. What fails
// is data in the snapshot.
func (o *observer) Observe(ctx context.Context, unit decision.Unit, now time.Time) (estimator.Snapshot, error) {
	v := visitOf(ctx)
	v.vpa = o.vpas.get(unit.Namespace, unit.Name)
	if v.vpa == nil || string(v.vpa.UID) != unit.UID {
		return estimator.Snapshot{}, loop.ErrGone
	}
	s := estimator.Snapshot{Now: now, Mode: o.mode, Config: o.config, VPA: projectVPA(v.vpa),
		Policy: o.policies.Recommender(unit.Namespace, unit.Name)}
	s.Horizontals = o.horizontals.of(unit.Namespace, s.VPA.Target)
	twin, err := v.pass.twin.get(ctx, "")
	if err != nil {
		return estimator.Snapshot{}, err
	}
	if s.Writer = twin; s.Writer == nil {
		s.Writer = projectWriter(v.vpa)
	}
	s.Fetching = v.fetching
	selector, err := o.targets.selector(ctx, unit.Namespace, s.VPA.Target)
	if err != nil {
		s.TargetError = err.Error()
		return s, nil
	}
	pods := o.pods.matching(unit.Namespace, selector)
	if len(pods) == 0 {
		return s, nil
	}
	usage, err := v.pass.usageIn(ctx, unit.Namespace)
	if err != nil {
		s.UsageError = err.Error()
	}
	s.Pods = projectRecords(pods, usage)
	o.evictions.over(unit.Namespace, s.Pods)
	return s, o.addForPolicy(ctx, v, &s, pods)
}
