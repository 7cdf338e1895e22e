package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// kindness gathers what being kind to workloads depends on. room and rollouts are
// nil where the flags leave them out.
type kindness struct {
	fleet    *fleet
	room     *room
	rollouts *rollouts
}

func newKindness(c *controller, o *Options, cluster kubernetes.Interface) (kindness, error) {
	windows, err := o.Kind.windows()
	if err != nil {
		return kindness{}, err
	}
	k := kindness{fleet: &fleet{config: o.rules().Kindness, windows: windows}}
	if o.Kind.Fit != FitIgnore {
		k.room = &room{pods: c.pods, limits: c.limits, fleet: k.fleet}
		if err := k.room.watch(cluster); err != nil {
			return kindness{}, err
		}
	}
	if o.Kind.Surge {
		if k.rollouts, err = newRollouts(cluster); err != nil {
			return kindness{}, err
		}
	}
	return k, nil
}

// watchPools has pods find room in node pools that may grow, too.
func (k kindness) watchPools(own client.WithWatch) error {
	if k.room == nil {
		return nil
	}
	return k.room.watchPools(own)
}

func (k kindness) background() []func(context.Context) {
	return append(k.room.background(), k.rollouts.background()...)
}

func (k kindness) listed() component.Caches { return append(k.room.listed(), k.rollouts.listed()...) }

// mustFit tells whether the object's pods must fit after an update.
func mustFit(s *eviction.Snapshot) bool {
	return s.Config.Kindness.RequireFit || s.Policy != nil && s.Policy.RequireFit
}

// project adds to what is known of a pod.
func (k kindness) project(s *eviction.Snapshot, pod *corev1.Pod, out *eviction.Pod) {
	projectKind(pod, s.VPA.Name, out)
	if k.room != nil && mustFit(s) {
		out.Place = projectPlace(pod)
	}
}

// gather adds what there is room in, and the Deployment, where they are asked for.
func (k kindness) gather(s *eviction.Snapshot, target vertical.Ref) {
	if k.room != nil && mustFit(s) {
		s.Room = k.room.look(s)
	}
	if s.Policy != nil && s.Policy.Disruption.Surge != "" {
		s.Deployment = k.rollouts.look(s.VPA.Namespace, target)
	}
}

// rollOut carries out the decision's rollout, where there is one.
func (a *actuator) rollOut(ctx context.Context, u *update) {
	what := u.d.Rollout
	if what == nil || a.rollouts == nil {
		return
	}
	result := eviction.Result{Pod: what.Deployment, Rollout: true}
	err := a.rollouts.rollOut(ctx, u.d.Unit.Namespace, *what)
	if err != nil {
		result.Error = words(err)
		u.refused = append(u.refused, fmt.Sprintf("%s %s: %s", result.Verb(), what.Deployment, result.Error))
	}
	u.v.results = append(u.v.results, result)
	a.disturbed(u, what.Taken, err)
}

// disturbed notes an eviction or a rollout that was made.
func (a *actuator) disturbed(u *update, taken *fit.Taken, err error) {
	if err != nil {
		return
	}
	u.evicted++
	a.fleet.evicted(a.clock.Now())
	a.fleet.setAside(u.d.Unit, taken, a.clock.Now())
}
