package webhook

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/admission/podreview"
	"github.com/quartet-autoscaling/quartet/admission/runtimes"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// visit is one review, handed to the observer and the publisher in the context.
type visit struct{ review *podreview.Review }

type visitKey struct{}

func withVisit(ctx context.Context, v *visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

// observer gathers a snapshot.
type observer struct {
	mode   string
	vpas   *vertical.Objects
	limits *vertical.LimitRanges
	// policies are nil where none are read.
	policies    *policies.Cache
	projections *projections
	// rival names another webhook, "" where there is none.
	rival func() string
	// asked are the parts of the snapshot that the flags ask for.
	asked asked
}

// asked is what the flags ask of every patch.
type asked struct {
	gates                    features.Gates
	maxBoost                 *resource.Quantity
	sidecars, followPodLevel bool
}

// Observe gathers everything that the decision on the pod in the context needs.
func (o *observer) Observe(ctx context.Context, unit decision.Unit, now time.Time) (patch.Snapshot, error) {
	asked := visitOf(ctx).review
	if asked == nil {
		return patch.Snapshot{}, errors.New("there is no pod to decide on")
	}
	vpa := o.vpas.Get(unit.Namespace, unit.Name)
	if vpa == nil || string(vpa.UID) != unit.UID {
		return patch.Snapshot{}, loop.ErrGone
	}
	policy := o.policies.Admission(unit.Namespace, unit.Name)
	wanted := kinds(policy)
	if err := asked.Containers(len(wanted) > 0); err != nil {
		return patch.Snapshot{}, err
	}
	return patch.Snapshot{
		Now: now, Mode: o.mode, Rival: o.rival(), Limits: o.limits.Of(unit.Namespace), Policy: policy,
		Pod: patch.Of(&asked.Pod, nameOf(&asked.Pod), wanted...), VPA: o.projections.get(unit, vpa),
		Gates: o.asked.gates, MaxBoost: o.asked.maxBoost, Sidecars: o.asked.sidecars, FollowPodLevel: o.asked.followPodLevel,
	}, nil
}

// kinds are the runtimes whose settings a policy wants kept in step.
func kinds(policy *verticalpolicy.Admission) []runtimes.Kind {
	if policy == nil {
		return nil
	}
	out := make([]runtimes.Kind, len(policy.Runtimes))
	for i, name := range policy.Runtimes {
		out[i] = runtimes.Kind(name)
	}
	return out
}

// handing carries a patch out by handing it to the API server in the answer.
type handing struct{}

// Act succeeds: whether the pod is then made is the API server's to say.
func (handing) Act(context.Context, patch.Decision) decision.Outcome {
	return decision.Outcome{Result: decision.Succeeded}
}
