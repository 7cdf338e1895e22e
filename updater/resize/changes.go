package resize

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// Spec is what a pod's spec says that the resources in force do not.
type Spec struct {
	// Asked are the containers whose spec asks for other resources than are in
	// force.
	Asked []resourcepolicy.Container `json:"asked,omitempty"`
	// Others are containers that are not resized and count for the QoS class: init
	// containers.
	Others []resourcepolicy.Container `json:"others,omitempty"`
	// QOS is the class that the pod has, which no resize may change.
	QOS corev1.PodQOSClass `json:"qos,omitempty"`
	// PodLevel tells that the pod has resources of its own, which its class comes
	// from.
	PodLevel bool `json:"podLevel,omitempty"`
	// Restarts tells that a container's resizePolicy has it restarted.
	Restarts bool `json:"restarts,omitempty"`
}

// SpecOf reads a pod's spec. inForce are its containers with the resources in
// force.
func SpecOf(pod *corev1.Pod, inForce []resourcepolicy.Container) Spec {
	s := Spec{QOS: pod.Status.QOSClass}
	for _, c := range pod.Spec.Containers {
		asked := resourcepolicy.Container{Name: c.Name, Requests: c.Resources.Requests, Limits: c.Resources.Limits}
		if has := named(inForce, c.Name); has == nil || !same(has.Requests, asked.Requests) || !same(has.Limits, asked.Limits) {
			s.Asked = append(s.Asked, asked)
		}
		for _, p := range c.ResizePolicy {
			s.Restarts = s.Restarts || p.RestartPolicy == corev1.RestartContainer
		}
	}
	for _, c := range pod.Spec.InitContainers {
		s.Others = append(s.Others, resourcepolicy.Container{Name: c.Name, Requests: c.Resources.Requests, Limits: c.Resources.Limits})
	}
	s.PodLevel = pod.Spec.Resources != nil && len(pod.Spec.Resources.Requests)+len(pod.Spec.Resources.Limits) > 0
	return s
}

// Of gives what the spec asks for a container.
func (s Spec) Of(inForce resourcepolicy.Container) resourcepolicy.Container {
	if asked := named(s.Asked, inForce.Name); asked != nil {
		return *asked
	}
	return inForce
}

// Text writes what the spec asks for beyond what is in force, the same for the
// same values.
func (s Spec) Text() string {
	var out []string
	for _, c := range s.Asked {
		out = append(out, fmt.Sprintf("%s requests %s limits %s", c.Name, text(c.Requests), text(c.Limits)))
	}
	return strings.Join(out, "; ")
}

func named(all []resourcepolicy.Container, name string) *resourcepolicy.Container {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

// Change is what is to become of one container: the values that its spec does not
// ask for yet.
type Change struct {
	Container string              `json:"container"`
	Requests  corev1.ResourceList `json:"requests,omitempty"`
	Limits    corev1.ResourceList `json:"limits,omitempty"`
}

// Wanted is what a pod is to be resized to.
type Wanted struct {
	// Fitted are the recommendations as policy and LimitRanges let them be.
	Fitted []resourcepolicy.Recommendation
	Policy *vpav1.PodResourcePolicy
	// Presets are the limits that a LimitRange gives to containers without.
	Presets corev1.ResourceList
}

// Changes gives what is to be asked for: of each container that something is
// recommended for, its target as requests, and limits in the proportion that
// those in force have, unless the policy controls requests only. What the spec
// asks for already is left out, so that nothing is changed twice.
func (w Wanted) Changes(inForce []resourcepolicy.Container, spec Spec) []Change {
	var out []Change
	for _, c := range inForce {
		r := resourcepolicy.Find(w.Fitted, c.Name)
		if r == nil {
			continue
		}
		var limits corev1.ResourceList
		if !resourcepolicy.RequestsOnly(w.Policy, c.Name) {
			limits, _ = resourcepolicy.ProportionalLimits(c, r.Target, w.Presets)
		}
		asked := spec.Of(c)
		change := Change{Container: c.Name, Requests: missing(asked.Requests, r.Target), Limits: missing(asked.Limits, limits)}
		if len(change.Requests)+len(change.Limits) > 0 {
			out = append(out, change)
		}
	}
	return out
}

// To gives what is to be asked for so that a container has the given resources.
func (s Spec) To(inForce, want resourcepolicy.Container) Change {
	asked := s.Of(inForce)
	return Change{Container: inForce.Name, Requests: missing(asked.Requests, want.Requests), Limits: missing(asked.Limits, want.Limits)}
}

// missing gives the wanted values that there are not.
func missing(now, want corev1.ResourceList) corev1.ResourceList {
	var out corev1.ResourceList
	for name, q := range want {
		if have, ok := now[name]; ok && have.Cmp(q) == 0 {
			continue
		}
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[name] = q
	}
	return out
}

// same tells whether two lists have the same values.
func same(a, b corev1.ResourceList) bool {
	return len(a) == len(b) && len(missing(a, b)) == 0
}

// Describe writes changes for people, as "app: requests cpu 200m; limits cpu 1".
func Describe(changes []Change) string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		var parts []string
		if len(c.Requests) > 0 {
			parts = append(parts, "requests "+text(c.Requests))
		}
		if len(c.Limits) > 0 {
			parts = append(parts, "limits "+text(c.Limits))
		}
		out = append(out, c.Container+": "+strings.Join(parts, ", "))
	}
	return strings.Join(out, "; ")
}

// text lists values in order, as "cpu 100m, memory 1Gi".
func text(list corev1.ResourceList) string {
	out := make([]string, 0, len(list))
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		out = append(out, string(name)+" "+q.String())
	}
	return strings.Join(out, ", ")
}

// Patch makes the strategic merge patch of the pod's resize subresource. With the
// UID it changes that very pod and no namesake: the API server refuses to change
// a UID.
func Patch(uid string, changes []Change) ([]byte, error) {
	type resources struct {
		Requests corev1.ResourceList `json:"requests,omitempty"`
		Limits   corev1.ResourceList `json:"limits,omitempty"`
	}
	type container struct {
		Name      string    `json:"name"`
		Resources resources `json:"resources"`
	}
	var body struct {
		Metadata struct {
			UID string `json:"uid,omitempty"`
		} `json:"metadata"`
		Spec struct {
			Containers []container `json:"containers"`
		} `json:"spec"`
	}
	body.Metadata.UID = uid
	for _, c := range changes {
		body.Spec.Containers = append(body.Spec.Containers, container{Name: c.Container, Resources: resources{c.Requests, c.Limits}})
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write the patch of a resize: %w", err)
	}
	return raw, nil
}
