package resourcepolicy

import (
	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// Pod is a pod whose recommendations are to be fitted, and what to.
type Pod struct {
	Containers []Container
	Policy     *vpav1.PodResourcePolicy
	Limits     Limits
}

// Fitted is a container's recommendation after capping. Notes say what bound the
// target was moved to, as "cpu capped to minAllowed".
type Fitted struct {
	Recommendation
	Notes []string
}

// What a target was moved to, as the annotation vpaUpdates of upstream has it.
const (
	toMinAllowed   = "capped to minAllowed"
	toMaxAllowed   = "capped to maxAllowed"
	toLimit        = "capped to container limit"
	toMinContainer = "capped to fit Min in container LimitRange"
	toMaxContainer = "capped to fit Max in container LimitRange"
)

// Fit caps the targets and bounds of the pod's containers, in this order: the
// LimitRange of the whole pod, that of the container, the policy, and for
// containers of which only requests are controlled their own limits. Containers
// that the pod does not have are left out. Where the pod has a LimitRange,
// containers without a recommendation take part with their requests, since these
// count for the sum. The arguments are not changed.
func Fit(pod Pod, all []Recommendation) []Fitted {
	recommendations := make([]Recommendation, 0, len(all))
	for i := range all {
		recommendations = append(recommendations, withoutEmptyNames(*all[i].DeepCopy()))
	}
	if pod.Limits.Pod != nil {
		recommendations = withRequests(recommendations, pod.Containers)
		for _, values := range []func(*Recommendation) corev1.ResourceList{upper, target, lower} {
			for _, name := range scaled {
				spread{pod: pod, name: name, values: values}.fit(recommendations)
			}
		}
	}
	out := make([]Fitted, 0, len(recommendations))
	for i := range recommendations {
		if c := container(pod.Containers, recommendations[i].ContainerName); c != nil {
			f := Fitted{Recommendation: recommendations[i]}
			f.Notes = fit(pod, *c, f.Target)
			fit(pod, *c, f.LowerBound)
			fit(pod, *c, f.UpperBound)
			out = append(out, f)
		}
	}
	return out
}

func target(r *Recommendation) corev1.ResourceList { return r.Target }
func lower(r *Recommendation) corev1.ResourceList  { return r.LowerBound }
func upper(r *Recommendation) corev1.ResourceList  { return r.UpperBound }

// withoutEmptyNames drops values of a resource without a name, which no pod may
// have.
func withoutEmptyNames(r Recommendation) Recommendation {
	for _, values := range []corev1.ResourceList{r.Target, r.LowerBound, r.UpperBound} {
		delete(values, "")
	}
	return r
}

func container(all []Container, name string) *Container {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

// withRequests adds the containers that have requests and no recommendation.
func withRequests(recommendations []Recommendation, containers []Container) []Recommendation {
	for _, c := range containers {
		if Find(recommendations, c.Name) == nil && len(c.Requests) > 0 {
			recommendations = append(recommendations, Recommendation{ContainerName: c.Name, Target: c.Requests.DeepCopy()})
		}
	}
	return recommendations
}

// fit caps the values of one container in place.
func fit(pod Pod, c Container, values corev1.ResourceList) []string {
	var notes []string
	note := func(all []moved, up, down string) {
		for _, m := range all {
			if m.up {
				notes = append(notes, string(m.resource)+" "+up)
			}
			if m.down {
				notes = append(notes, string(m.resource)+" "+down)
			}
		}
	}
	if b := pod.Limits.Container; b != nil {
		least, most := b.requests(c)
		note(clamp(values, least, most), toMinContainer, toMaxContainer)
	}
	if p := ContainerPolicy(pod.Policy, c.Name); p != nil {
		note(clamp(values, p.MinAllowed, p.MaxAllowed), toMinAllowed, toMaxAllowed)
	}
	if RequestsOnly(pod.Policy, c.Name) {
		for _, name := range names(c.Limits) {
			limit := c.Limits[name]
			if value, ok := values[name]; ok && value.MilliValue() > limit.MilliValue() {
				values[name] = limit
				note([]moved{{resource: name, down: true}}, "", toLimit)
			}
		}
	}
	return notes
}
