package resize

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// Class tells the QoS class that the pod has, and the one that it would have with
// the changes made. They differ only where that is certain: the API server
// refuses a resize that changes the class, and has the last word.
func (s Spec) Class(inForce []resourcepolicy.Container, changes []Change) (now, then corev1.PodQOSClass) {
	before, after := make([]resourcepolicy.Container, 0, len(inForce)), make([]resourcepolicy.Container, 0, len(inForce))
	for _, c := range inForce {
		asked := s.Of(c)
		before = append(before, asked)
		for _, change := range changes {
			if change.Container == c.Name {
				asked.Requests, asked.Limits = over(asked.Requests, change.Requests), over(asked.Limits, change.Limits)
			}
		}
		after = append(after, asked)
	}
	now = classOf(append(before, s.Others...))
	if s.PodLevel || s.QOS != "" && s.QOS != now {
		return s.QOS, s.QOS
	}
	return now, classOf(append(after, s.Others...))
}

// over lays changed values over those that are.
func over(now, changed corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	maps.Copy(out, now)
	maps.Copy(out, changed)
	return out
}

// classOf is the class of a pod by its containers: that of all of them where they
// agree, else Burstable.
func classOf(all []resourcepolicy.Container) corev1.PodQOSClass {
	class := corev1.PodQOSClass("")
	for _, c := range all {
		one := containerClass(c)
		if class != "" && one != class {
			return corev1.PodQOSBurstable
		}
		class = one
	}
	if class == "" {
		return corev1.PodQOSBestEffort
	}
	return class
}

// containerClass is Guaranteed where requests are limits and both resources have
// them, BestEffort where nothing is set, else Burstable.
func containerClass(c resourcepolicy.Container) corev1.PodQOSClass {
	guaranteed, none := true, true
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := c.Requests[name], c.Limits[name]
		guaranteed = guaranteed && !request.IsZero() && request.Cmp(limit) == 0
		none = none && request.IsZero() && limit.IsZero()
	}
	switch {
	case guaranteed:
		return corev1.PodQOSGuaranteed
	case none:
		return corev1.PodQOSBestEffort
	}
	return corev1.PodQOSBurstable
}
