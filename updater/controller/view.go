package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/rest"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// View is an updater with these flags on objects at hand, apart from a cluster:
// what the rules see of them, and how a decision is carried out. With it updates
// can be held against another updater's.
type View struct {
	Options *Options

	refusals refusals
}

// Cluster is what an object is decided by: the pods of its target, their
// controllers as eviction.Pod names them, and the namespace's LimitRanges.
type Cluster struct {
	Pods        []*corev1.Pod
	Controllers map[string]eviction.Group
	LimitRanges []corev1.LimitRange
}

// Snapshot is what is decided by. The arguments are not changed.
func (v *View) Snapshot(now time.Time, vpa *vpav1.VerticalPodAutoscaler, c Cluster) (eviction.Snapshot, error) {
	config := v.Options.Rules
	config.Gates = v.Options.Features.Gates()
	s := eviction.Snapshot{
		Now: now, Mode: eviction.ModeAuto, Config: config, VPA: projectVPA(vpa), Limits: resourcepolicy.Combine(c.LimitRanges),
		Pods: map[string]eviction.Pod{}, Groups: map[string]eviction.Group{},
	}
	refused := v.refusals.take(unitOf(vpa))
	for _, pod := range c.Pods {
		o, err := reducePod(pod)
		if err != nil {
			return s, err
		}
		reduced, ok := o.(*corev1.Pod)
		if !ok || !live(reduced) {
			continue
		}
		p := projectPod(reduced, eviction.Resizes(s.VPA.UpdateMode))
		p.Refused = refused[p.UID]
		s.Pods[pod.Name], s.Groups[p.Group] = p, c.Controllers[p.Group]
	}
	return s, nil
}

// Act carries a decision out by the core group's client.
func (v *View) Act(ctx context.Context, core rest.Interface, d eviction.Decision) decision.Outcome {
	return newActuator(core, v.Options, &v.refusals).Act(withVisit(ctx, &visit{}), d)
}

func unitOf(vpa *vpav1.VerticalPodAutoscaler) decision.Unit {
	return decision.Unit{Kind: eviction.Kind, Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID)}
}
