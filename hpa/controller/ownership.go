package controller

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// targetSource tells what is known of targets and of pods' controllers without
// asking the API server.
type targetSource interface {
	Find(ref kube.Ref) *kube.Target
	Ownership(pod *corev1.Pod, target types.UID) kube.Ownership
	TopOwner(pod *corev1.Pod) string
}

// claim is whose pods an object counts.
type claim struct {
	// uid is the target's; all pods that the selector matches count where it is
	// empty.
	uid types.UID
	// known tells that the target is of a kind whose pods' controllers are all known.
	known bool
}

// byLabel is the claim on all pods that the selector matches.
var byLabel = claim{}

// claimOf is the claim of an object on the pods of its target.
func claimOf(target replicas.Target, uid types.UID) claim {
	version, err := schema.ParseGroupVersion(target.APIVersion)
	return claim{uid: uid, known: err == nil && version.Group == "apps"}
}

// ownership tells whose pods are whose.
type ownership struct{ targets targetSource }

// split parts the pods that a selector matches into those that count and the
// others. The claim that it returns is the one that holds: pods of a target whose
// controllers are not known count by label where none can be traced to it.
func (o ownership) split(pods []*corev1.Pod, c claim) (counted, strays []*corev1.Pod, holds claim) {
	if o.targets == nil {
		c = byLabel
	}
	if c.uid == "" || len(pods) == 0 {
		return pods, nil, c
	}
	traced := 0
	for i, pod := range pods {
		if o.targets.Ownership(pod, c.uid) != kube.Elsewhere {
			if traced++; counted != nil {
				counted = append(counted, pod)
			}
			continue
		}
		if counted == nil {
			// The first stray: up to here all count.
			counted = append(make([]*corev1.Pod, 0, len(pods)), pods[:i]...)
		}
		strays = append(strays, pod)
	}
	switch {
	case len(strays) == 0:
		return pods, nil, c
	case traced == 0 && !c.known:
		return pods, nil, byLabel
	}
	return counted, strays, c
}

// counts tells whether a pod that the selector matches counts for the claim.
func (o ownership) counts(pod *corev1.Pod, c claim) bool {
	return c.uid == "" || o.targets.Ownership(pod, c.uid) != kube.Elsewhere
}

// describe tells of strays what the snapshot holds.
func (o ownership) describe(strays []*corev1.Pod) *replicas.Strays {
	if len(strays) == 0 {
		return nil
	}
	out := &replicas.Strays{Count: len(strays)}
	for _, pod := range strays {
		out.Pods = append(out.Pods, pod.Name)
		owner := o.targets.TopOwner(pod)
		if owner == "" {
			owner = replicas.NoOwner
		}
		if !slices.Contains(out.Owners, owner) {
			out.Owners = append(out.Owners, owner)
		}
	}
	slices.Sort(out.Pods)
	slices.Sort(out.Owners)
	out.Pods = slices.Clip(out.Pods[:min(len(out.Pods), replicas.ShownStrays)])
	out.Owners = slices.Clip(out.Owners[:min(len(out.Owners), replicas.ShownStrays)])
	return out
}

// withoutStrays gives samples without those of the strays. It leaves its argument
// as it is: others may share it.
func withoutStrays(samples replicas.Samples, strays []*corev1.Pod) replicas.Samples {
	if len(strays) == 0 || len(samples.Pods) == 0 {
		return samples
	}
	left := make(map[string]bool, len(strays))
	for _, pod := range strays {
		left[pod.Name] = true
	}
	kept := make(map[string]replicas.PodSample, len(samples.Pods))
	for name, sample := range samples.Pods {
		if !left[name] {
			kept[name] = sample
		}
	}
	samples.Pods = kept
	return samples
}

// projectSetter finds who else owns the target's count: the last where there are
// several. The upstream controller is told of elsewhere.
func projectSetter(target *kube.Target) *replicas.Setter {
	if target == nil {
		return nil
	}
	var last *metav1.ManagedFieldsEntry
	for i := range target.ManagedFields {
		f := &target.ManagedFields[i]
		if f.Manager == fieldManager || f.Manager == upstreamManager {
			continue
		}
		if last == nil || later(f, last) {
			last = f
		}
	}
	if last == nil {
		return nil
	}
	setter := &replicas.Setter{Manager: last.Manager, Operation: string(last.Operation)}
	if last.Time != nil {
		setter.At = utc(last.Time.Time)
	}
	return setter
}

// later tells whether one who owns the count is more worth telling of than another.
// Who declares it sets it again; else it is the later, and a write of the scale, of
// which no time is kept, took the count away from others.
func later(a, b *metav1.ManagedFieldsEntry) bool {
	if applies := a.Operation == metav1.ManagedFieldsOperationApply; applies != (b.Operation == metav1.ManagedFieldsOperationApply) {
		return applies
	}
	if a.Time == nil || b.Time == nil {
		return b.Time != nil
	}
	return b.Time.Before(a.Time)
}

// projectRollout gives the target's last rollout.
func projectRollout(target *kube.Target) *replicas.Rollout {
	switch {
	case target == nil:
	case target.Rollout.UnderWay:
		return &replicas.Rollout{Surge: target.Rollout.Surge}
	case !target.Rollout.Ended.IsZero():
		return &replicas.Rollout{Surge: target.Rollout.Surge, Ended: utc(target.Rollout.Ended)}
	}
	return nil
}
