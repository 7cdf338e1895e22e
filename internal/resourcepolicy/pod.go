package resourcepolicy

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// spread fits one resource of all containers of a pod to the pod's LimitRange:
// what is too much or too little in sum is shared out in proportion.
type spread struct {
	pod    Pod
	name   corev1.ResourceName
	values func(*Recommendation) corev1.ResourceList
}

// fit changes the recommendations' values in place. A value that is absent stays
// absent: a container without a bound has none, whatever the pod's.
func (s spread) fit(all []Recommendation) {
	b := s.pod.Limits.Pod
	least, most := b.Min[s.name], b.Max[s.name]
	requests, limits := s.sums(all)
	switch {
	case least.Cmp(limits) <= 0 && least.Cmp(requests) <= 0 && (most.IsZero() || most.Cmp(limits) >= 0):
	case limits.IsZero():
	case least.Cmp(requests) > 0:
		s.scale(all, requests, least, true)
	default:
		total := resource.Quantity{}
		if least.Cmp(limits) > 0 {
			total = least
		}
		if !most.IsZero() && most.Cmp(limits) < 0 {
			total = most
		}
		s.scale(all, limits, total, false)
	}
}

// sums adds up what the containers would request and be limited to.
func (s spread) sums(all []Recommendation) (requests, limits resource.Quantity) {
	for _, c := range s.pod.Containers {
		value := c.Requests[s.name]
		if r := Find(all, c.Name); r != nil {
			value = s.values(r)[s.name]
		}
		if limit, ok, _ := ratioOf(c, s.name, s.pod.Limits.Pod.Default).limitFor(value); ok {
			limits.Add(limit)
		}
		requests.Add(value)
	}
	return requests, limits
}

// scale multiplies each value by to / from. CPU is rounded up where up; memory
// is always rounded down, as upstream has it.
func (s spread) scale(all []Recommendation, from, to resource.Quantity, up bool) {
	for _, c := range s.pod.Containers {
		r := Find(all, c.Name)
		if r == nil {
			continue
		}
		values := s.values(r)
		if value, ok := values[s.name]; ok {
			values[s.name], _ = share{name: s.name, value: value, from: from, to: to}.of(up && s.name == corev1.ResourceCPU)
		}
	}
}
