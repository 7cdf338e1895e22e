package resourcepolicy

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// Recommendation is one container's part of a VerticalPodAutoscaler's status.
type Recommendation = vpav1.RecommendedContainerResources

// Container is what of a container the arithmetic looks at.
type Container struct {
	Name     string              `json:"name"`
	Requests corev1.ResourceList `json:"requests,omitempty"`
	Limits   corev1.ResourceList `json:"limits,omitempty"`
}

// ContainerPolicy gives the policy of a container: the one with its name, else
// the one named "*", else nil.
func ContainerPolicy(policy *vpav1.PodResourcePolicy, container string) *vpav1.ContainerResourcePolicy {
	if policy == nil {
		return nil
	}
	var otherwise *vpav1.ContainerResourcePolicy
	for i := range policy.ContainerPolicies {
		p := &policy.ContainerPolicies[i]
		switch p.ContainerName {
		case container:
			return p
		case vpav1.DefaultContainerResourcePolicy:
			otherwise = p
		}
	}
	return otherwise
}

// Off tells whether the container is not to be scaled.
func Off(policy *vpav1.PodResourcePolicy, container string) bool {
	p := ContainerPolicy(policy, container)
	return p != nil && p.Mode != nil && *p.Mode == vpav1.ContainerScalingModeOff
}

// RequestsOnly tells whether the container's limits are left as they are.
func RequestsOnly(policy *vpav1.PodResourcePolicy, container string) bool {
	p := ContainerPolicy(policy, container)
	return p != nil && p.ControlledValues != nil && *p.ControlledValues == vpav1.ContainerControlledValuesRequestsOnly
}

// Find gives the recommendation of a container, nil where there is none.
func Find(all []Recommendation, container string) *Recommendation {
	for i := range all {
		if all[i].ContainerName == container {
			return &all[i]
		}
	}
	return nil
}

// ToPolicy caps recommendations to their containers' minAllowed and maxAllowed,
// and to globalMax for the resources that a policy has no maximum of. globalMax
// may be nil. The arguments are not changed.
func ToPolicy(all []Recommendation, policy *vpav1.PodResourcePolicy, globalMax corev1.ResourceList) []Recommendation {
	out := make([]Recommendation, 0, len(all))
	for i := range all {
		r := all[i].DeepCopy()
		least, most := corev1.ResourceList(nil), corev1.ResourceList{}
		maps.Copy(most, globalMax)
		if p := ContainerPolicy(policy, r.ContainerName); p != nil {
			least = p.MinAllowed
			maps.Copy(most, p.MaxAllowed)
		}
		for _, values := range []corev1.ResourceList{r.Target, r.LowerBound, r.UpperBound} {
			clamp(values, least, most)
		}
		out = append(out, *r)
	}
	return out
}

// which of its bounds a value was moved to.
type moved struct {
	resource corev1.ResourceName
	up, down bool
}

// clamp raises values to least and then lowers them to most, in place. A bound
// that is missing or zero is none. It tells what it moved, ordered by name.
func clamp(values, least, most corev1.ResourceList) []moved {
	var out []moved
	for _, name := range names(values) {
		value, m := values[name], moved{resource: name}
		if bound, ok := bound(least, name); ok && value.Cmp(bound) < 0 {
			value, m.up = bound, true
		}
		if bound, ok := bound(most, name); ok && value.Cmp(bound) > 0 {
			value, m.down = bound, true
		}
		values[name] = value
		if m.up || m.down {
			out = append(out, m)
		}
	}
	return out
}

func bound(bounds corev1.ResourceList, name corev1.ResourceName) (resource.Quantity, bool) {
	q, ok := bounds[name]
	return q, ok && !q.IsZero()
}

// names gives the resources of a list in order.
func names(list corev1.ResourceList) []corev1.ResourceName {
	return slices.Sorted(maps.Keys(list))
}
