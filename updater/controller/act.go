package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/time/rate"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// actuator evicts.
type actuator struct {
	// core is the client of the core group.
	core    rest.Interface
	limiter *rate.Limiter
}

func newActuator(core rest.Interface, o *Options) *actuator {
	limit, burst := rate.Inf, 0
	if o.RateLimit > 0 {
		limit, burst = rate.Limit(o.RateLimit), o.Burst
	}
	return &actuator{core: core, limiter: rate.NewLimiter(limit, burst)}
}

// Act evicts candidates in order until the budgets of their groups are used up.
// One that is refused leaves its place to the next.
func (a *actuator) Act(ctx context.Context, d eviction.Decision) decision.Outcome {
	v := visitOf(ctx)
	gone := map[string]int{}
	var refused []string
	for _, c := range d.Candidates {
		if !c.Pending && gone[c.Group] >= d.Budgets[c.Group] {
			continue
		}
		if err := a.limiter.Wait(ctx); err != nil {
			return decision.Failure("wait for the eviction rate limit", err)
		}
		result := eviction.Result{Pod: c.Pod}
		if err := a.evict(ctx, d.Unit.Namespace, c); err != nil {
			result.Error = words(err)
			refused = append(refused, fmt.Sprintf("evict %s: %s", c.Pod, result.Error))
		} else if !c.Pending {
			gone[c.Group]++
		}
		v.results = append(v.results, result)
	}
	if len(refused) > 0 {
		return decision.Outcome{Result: decision.Failed, Error: strings.Join(refused, "; ")}
	}
	return decision.Outcome{Result: decision.Succeeded}
}

// evict asks for one eviction, of this very pod and not of a namesake. It does
// not try again by itself: a budget that has no room now is asked at the next
// pass, and what was said is shown.
func (a *actuator) evict(ctx context.Context, namespace string, c eviction.Candidate) error {
	e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: c.Pod}}
	if c.UID != "" {
		uid := types.UID(c.UID)
		e.DeleteOptions = &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
	}
	return a.core.Post().Namespace(namespace).Resource("pods").Name(c.Pod).SubResource("eviction").
		MaxRetries(0).Body(e).Do(ctx).Error()
}

// words are what the API server said: of a disruption budget that has no room,
// which one and how it stands.
func words(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err.Error()
	}
	said := []string{status.Status().Message}
	if details := status.Status().Details; details != nil {
		for _, cause := range details.Causes {
			said = append(said, cause.Message)
		}
	}
	return strings.Join(said, " ")
}
