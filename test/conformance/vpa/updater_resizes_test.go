package vpa

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// resized moves a pod's resize on, or begins one that somebody else asked for.
func (f *fleet) resized(p *corev1.Pod) {
	underWay := resizing(p)
	switch {
	case underWay && f.chance(5):
		f.apply(p)
	case underWay && f.chance(6):
		f.state(p)
	case !underWay && f.chance(25) && p.Status.Phase == corev1.PodRunning:
		f.state(p)
	}
}

func resizing(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress
	})
}

// apply ends a resize: what is asked for is in force.
func (f *fleet) apply(p *corev1.Pod) {
	p.Status.Conditions = nil
	for i := range p.Status.ContainerStatuses {
		p.Status.ContainerStatuses[i].Resources = p.Spec.Containers[i].Resources.DeepCopy()
	}
	f.happened("a resize is done")
}

// state draws how a resize stands.
func (f *fleet) state(p *corev1.Pod) {
	pending := corev1.PodCondition{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(f.now)}
	progress := corev1.PodCondition{Type: corev1.PodResizeInProgress, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(f.now)}
	what := []string{"Deferred", "Infeasible", "InProgress", "Error"}[f.IntN(4)]
	switch what {
	case "Deferred":
		pending.Reason = corev1.PodReasonDeferred
	case "Infeasible":
		pending.Reason = corev1.PodReasonInfeasible
	case "Error":
		progress.Reason, progress.Message = corev1.PodReasonError, "no"
	}
	if pending.Reason != "" {
		p.Status.Conditions = []corev1.PodCondition{pending}
	} else {
		p.Status.Conditions = []corev1.PodCondition{progress}
	}
	f.happened("a resize is " + what)
}

// follow lets what was done have its effects: evicted pods come anew, and resizes
// are taken up.
func (f *fleet) follow(c *calls) {
	for _, name := range c.evicted {
		gone := f.pods[name]
		delete(f.pods, name)
		for _, g := range f.groups {
			if len(gone.OwnerReferences) > 0 && gone.OwnerReferences[0].Name == g.name && !f.chance(4) {
				f.add(g)
			}
		}
	}
	for name, containers := range c.resized {
		p := f.pods[name]
		if p == nil {
			continue
		}
		p = p.DeepCopy()
		p.Spec.Containers = containers
		if f.chance(3) {
			f.apply(p)
		} else {
			f.state(p)
		}
		f.pods[name] = p
	}
}
