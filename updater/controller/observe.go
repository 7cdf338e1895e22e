package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// visit is one turn's view, handed from the observer to the actuator and the
// publisher in the context.
type visit struct {
	// results are what became of the candidates that were tried.
	results []eviction.Result
}

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
	mode        string
	config      eviction.Config
	vpas        *vertical.Objects
	controllers *vertical.Controllers
	limits      *vertical.LimitRanges
	pods        *podCache
	leases      *leases
	policies    *policies.Cache
	kind        kindness
	refusals    *refusals
	// usage is nil where decisions do not go by it.
	usage *usage
}

// Observe gathers everything that the decision on one object needs.
func (o *observer) Observe(ctx context.Context, unit decision.Unit, now time.Time) (eviction.Snapshot, error) {
	vpa := o.vpas.Get(unit.Namespace, unit.Name)
	if vpa == nil || string(vpa.UID) != unit.UID {
		return eviction.Snapshot{}, loop.ErrGone
	}
	s := eviction.Snapshot{
		Now: now, Mode: o.mode, Config: o.config, VPA: projectVPA(vpa), Limits: o.limits.Of(unit.Namespace),
	}
	s.VPA.Older = o.older(vpa)
	s.Policy = o.policies.Updater(unit.Namespace, unit.Name, now)
	s.Admission, s.Rival = o.leases.look(ctx, now)
	s.Fleet = o.kind.fleet.look(now)
	if vpa.Spec.TargetRef != nil && o.touches(vpa) {
		err := o.gather(ctx, &s, vertical.Target(vpa))
		o.kind.gather(&s, vertical.Target(vpa))
		return s, err
	}
	return s, nil
}

// gather adds the target's pods and their controllers.
func (o *observer) gather(ctx context.Context, s *eviction.Snapshot, target vertical.Ref) error {
	namespace := s.VPA.Namespace
	refused := o.refusals.take(decision.Unit{Kind: eviction.Kind, Namespace: namespace, Name: s.VPA.Name, UID: s.VPA.UID})
	boosts := o.config.Gates.CPUStartupBoost && s.VPA.Boosts()
	s.Pods, s.Groups = map[string]eviction.Pod{}, map[string]eviction.Group{}
	for _, controller := range o.controllers.Below(namespace, target) {
		for _, pod := range o.pods.of(namespace, controller) {
			// A ReplicaSet may be a target of its own or a Deployment's: its pods are
			// patched, and so evicted, for the one at the top only.
			if top, _, err := o.controllers.Topmost(ctx, pod); err != nil || top != target {
				continue
			}
			projected := projectPod(pod, eviction.Resizes(s.VPA.UpdateMode) || boosts)
			if o.usage != nil && eviction.Resizes(s.VPA.UpdateMode) {
				projected.Usage = o.usage.of(ctx, pod, s.Now)
			}
			if boosts {
				projected.Boosts = eviction.BoostsOf(pod)
			}
			o.kind.project(s, pod, &projected)
			projected.Refused = refused[projected.UID]
			s.Pods[pod.Name] = projected
			if _, known := s.Groups[projected.Group]; !known {
				s.Groups[projected.Group] = o.group(namespace, pod)
			}
		}
	}
	return ctx.Err()
}

func (o *observer) group(namespace string, pod *corev1.Pod) eviction.Group {
	owner := metav1.GetControllerOf(pod)
	ref := vertical.Ref{Kind: owner.Kind, Name: owner.Name}
	n, counted, err := o.controllers.Replicas(namespace, ref)
	if err != nil {
		return eviction.Group{Error: err.Error()}
	}
	return eviction.Group{Replicas: n, Counted: counted, MaxUnavailable: o.controllers.MaxUnavailable(namespace, ref)}
}

// older names the first object of those that evict the same target's pods, where
// it is another.
func (o *observer) older(vpa *vpav1.VerticalPodAutoscaler) string {
	for _, other := range o.vpas.Targeting(vpa.Namespace, vertical.Target(vpa)) {
		if other.Name == vpa.Name {
			return ""
		}
		if o.touches(other) {
			return other.Namespace + "/" + other.Name
		}
	}
	return ""
}

// touches tells whether the object's pods may be updated, or have boosts to give
// back.
func (o *observer) touches(vpa *vpav1.VerticalPodAutoscaler) bool {
	return evicts(vertical.UpdateMode(vpa)) || o.config.Gates.CPUStartupBoost && vertical.Boosts(vpa)
}

// evicts tells the modes in which running pods may be touched at all.
func evicts(mode vpav1.UpdateMode) bool {
	return mode != vpav1.UpdateModeOff && mode != vpav1.UpdateModeInitial
}

func projectVPA(vpa *vpav1.VerticalPodAutoscaler) eviction.VPA {
	out := eviction.VPA{
		Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID), UpdateMode: vertical.UpdateMode(vpa),
		Policy: vertical.Policy(vpa), StartupBoost: vpa.Spec.StartupBoost, Recommendations: vertical.Recommendations(vpa),
	}
	if vpa.Spec.TargetRef != nil {
		out.Target = vertical.Target(vpa).String()
	}
	if p := vpa.Spec.UpdatePolicy; p != nil {
		out.MinReplicas, out.EvictAfterOOM = p.MinReplicas, p.EvictAfterOOMSeconds
		for _, r := range p.EvictionRequirements {
			if r != nil {
				out.Requirements = append(out.Requirements, eviction.Requirement{Resources: r.Resources, Change: r.ChangeRequirement})
			}
		}
	}
	return out
}
