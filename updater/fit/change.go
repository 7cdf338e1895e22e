package fit

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// Pod is what placing a pod depends on, besides what its containers request.
type Pod struct {
	// Node is where it is; empty where it waits for one.
	Node string `json:"node,omitempty"`
	// Requests are those of the whole pod as the scheduler counts them now: with
	// init containers and overhead.
	Requests Amounts `json:"requests,omitempty"`
	// Selector, Affinity and Tolerations are as in the pod's spec; of Affinity the
	// required terms for nodes.
	Selector    map[string]string         `json:"selector,omitempty"`
	Affinity    []corev1.NodeSelectorTerm `json:"affinity,omitempty"`
	Tolerations []corev1.Toleration       `json:"tolerations,omitempty"`
	// Tied tells what keeps the pod on the node it is on, as far as is known here;
	// empty where it may go elsewhere.
	Tied string `json:"tied,omitempty"`
	// Fixed are containers that no update changes, such as init containers.
	Fixed []resourcepolicy.Container `json:"fixed,omitempty"`
	// Priority is the name of its priority class. Deadline tells that it has an
	// active deadline, Across that it has terms of affinity that span namespaces.
	Priority string `json:"priority,omitempty"`
	Deadline bool   `json:"deadline,omitempty"`
	Across   bool   `json:"across,omitempty"`
}

// Manner is how a pod changes.
type Manner int

// The manners of a change: the pod goes and another comes (Replace), a second one
// comes before it goes (Surge), or it stays where it is (InPlace).
const (
	Replace Manner = iota
	Surge
	InPlace
)

// Change is a pod before and after an update. After has the containers of Before,
// in any order.
type Change struct {
	Pod
	Manner        Manner
	Before, After []resourcepolicy.Container
}

// requests are those of the whole pod after the change: what it has now, and what
// is added to or taken from its containers. An init container that asks for more
// than all others makes that too much, never too little.
func (c Change) requests() Amounts {
	grown := sums(c.After, requestsOf).less(sums(c.Before, requestsOf))
	out := c.Requests.add(grown)
	for name, n := range out {
		if n < 0 {
			out[name] = 0
		}
	}
	return out
}

func requestsOf(c resourcepolicy.Container) corev1.ResourceList { return c.Requests }
func limitsOf(c resourcepolicy.Container) corev1.ResourceList   { return c.Limits }

// sums adds up CPU and memory of containers.
func sums(all []resourcepolicy.Container, of func(resourcepolicy.Container) corev1.ResourceList) Amounts {
	out := Amounts{}
	for _, c := range all {
		for name, n := range scaled(of(c)) {
			if out[name] > math.MaxInt64-n {
				n = math.MaxInt64 - out[name]
			}
			out[name] += n
		}
	}
	return out
}

// QoS is the class of a pod with these containers, init containers included.
func QoS(containers []resourcepolicy.Container) corev1.PodQOSClass {
	guaranteed, any := len(containers) > 0, false
	for _, c := range containers {
		for _, name := range both {
			request, limit := c.Requests[name], c.Limits[name]
			any = any || !request.IsZero() || !limit.IsZero()
			// A request that is not stated is the limit.
			_, stated := c.Requests[name]
			if limit.IsZero() || stated && request.Cmp(limit) != 0 {
				guaranteed = false
			}
		}
	}
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// QoSChange gives the classes of the pod before and after.
func (c Change) QoSChange() (before, after corev1.PodQOSClass) {
	with := func(all []resourcepolicy.Container) []resourcepolicy.Container {
		return append(append([]resourcepolicy.Container(nil), all...), c.Fixed...)
	}
	return QoS(with(c.Before)), QoS(with(c.After))
}

// Updated gives a pod's containers with what is recommended for them, as the
// admission webhook would set it. fitted are the recommendations after capping.
func Updated(containers []resourcepolicy.Container, fitted []resourcepolicy.Recommendation, requestsOnly func(container string) bool, presets corev1.ResourceList) []resourcepolicy.Container {
	out := make([]resourcepolicy.Container, 0, len(containers))
	for _, c := range containers {
		r := resourcepolicy.Find(fitted, c.Name)
		if r == nil {
			out = append(out, c)
			continue
		}
		var limits corev1.ResourceList
		if !requestsOnly(c.Name) {
			limits, _ = resourcepolicy.ProportionalLimits(c, r.Target, presets)
		}
		out = append(out, resourcepolicy.Container{
			Name: c.Name, Requests: over(c.Requests, r.Target), Limits: over(c.Limits, limits),
		})
	}
	return out
}

func over(have, set corev1.ResourceList) corev1.ResourceList {
	out := have.DeepCopy()
	for name, q := range set {
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[name] = q
	}
	return out
}
