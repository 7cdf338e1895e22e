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
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// actuator resizes and evicts.
type actuator struct {
	// core is the client of the core group.
	core rest.Interface
	// evicting and resizing each have the rate of the flags.
	evicting, resizing *rate.Limiter
	refusals           *refusals
	// fleet and rollouts may be nil.
	fleet    *fleet
	rollouts *rollouts
	clock    clock.PassiveClock
}

func newActuator(core rest.Interface, o *Options, r *refusals) *actuator {
	limit, burst := rate.Inf, 0
	if o.RateLimit > 0 {
		limit, burst = rate.Limit(o.RateLimit), o.Burst
	}
	return &actuator{core: core, refusals: r, clock: clock.RealClock{}, evicting: rate.NewLimiter(limit, burst), resizing: rate.NewLimiter(limit, burst)}
}

// update is one decision being carried out.
type update struct {
	d eviction.Decision
	v *visit
	// used is how much of each group's budget is used up.
	used    map[string]int
	refused []string
	// evicted counts what uses up the decision's allowance.
	evicted int
}

// Act resizes candidates, and then evicts those that are to be evicted or whose
// resize was refused, in order until the budgets of their groups are used up. One
// that is refused leaves its place to the next.
func (a *actuator) Act(ctx context.Context, d eviction.Decision) decision.Outcome {
	u := &update{d: d, v: visitOf(ctx), used: map[string]int{}}
	var evict []eviction.Candidate
	err := a.unboostAll(ctx, u)
	if err == nil {
		evict, err = a.resizeAll(ctx, u)
	}
	if err == nil {
		err = a.evictAll(ctx, u, evict)
	}
	if err == nil {
		a.rollOut(ctx, u)
	}
	switch {
	case err != nil:
		return decision.Failure("wait for the rate limit", err)
	case len(u.refused) > 0:
		return decision.Outcome{Result: decision.Failed, Error: strings.Join(u.refused, "; ")}
	}
	return decision.Outcome{Result: decision.Succeeded}
}

// resizeAll resizes, and gives those that are to be evicted. The error is the rate
// limiter's.
func (a *actuator) resizeAll(ctx context.Context, u *update) (evict []eviction.Candidate, err error) {
	for _, c := range u.d.Candidates {
		if len(c.Resize) == 0 {
			evict = append(evict, c)
			continue
		}
		if !c.Unbounded && u.full(c) {
			continue
		}
		if err := a.resizing.Wait(ctx); err != nil {
			return nil, err
		}
		err := a.resize(ctx, u.d.Unit.Namespace, c)
		u.note(c, eviction.Result{Pod: c.Pod, Resize: true, NeverFits: neverFits(err)}, err)
		if err == nil {
			a.fleet.setAside(u.d.Unit, c.Taken, a.clock.Now())
		}
		if err != nil && c.OrEvict {
			evict = append(evict, c)
		}
		if neverFits(err) && len(c.Targets) > 0 {
			a.refusals.put(u.d.Unit, c)
		}
	}
	return evict, nil
}

func (a *actuator) evictAll(ctx context.Context, u *update, evict []eviction.Candidate) error {
	for _, c := range evict {
		if u.full(c) || u.d.Allowance > 0 && u.evicted >= u.d.Allowance {
			continue
		}
		if err := a.evicting.Wait(ctx); err != nil {
			return err
		}
		err := a.evict(ctx, u.d.Unit.Namespace, c)
		u.note(c, eviction.Result{Pod: c.Pod}, err)
		a.disturbed(u, c.Taken, err)
	}
	return nil
}

// full tells whether the budget of the candidate's group is used up.
func (u *update) full(c eviction.Candidate) bool {
	return !c.Pending && u.used[c.Group] >= u.d.Budgets[c.Group]
}

// note keeps what became of a candidate.
func (u *update) note(c eviction.Candidate, r eviction.Result, err error) {
	switch {
	case err != nil:
		r.Error = words(err)
		u.refused = append(u.refused, fmt.Sprintf("%s %s: %s", r.Verb(), c.Pod, r.Error))
	case !c.Pending:
		u.used[c.Group]++
	}
	u.v.results = append(u.v.results, r)
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
