package kube

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelpers "k8s.io/component-helpers/resource"
)

// Request is what a pod requests of a resource, in thousandths: of one container
// where it is named, else of the pod itself where it states pod-level requests,
// else of all containers that run beside one another. A container without the
// request is an error, since no percentage can be taken of it.
func Request(pod *corev1.Pod, name corev1.ResourceName, container string) (int64, error) {
	if container == "" && resourcehelpers.IsPodLevelRequestsSet(pod) {
		whole, set := resourcehelpers.PodRequests(pod, resourcehelpers.PodResourcesOptions{})[name]
		if !set {
			return 0, fmt.Errorf("missing pod-level request for %s in Pod %s", name, pod.Name)
		}
		return Milli(whole), nil
	}
	found := false
	var total int64
	add := func(c *corev1.Container) error {
		if container != "" && c.Name != container {
			return nil
		}
		found = true
		request, set := c.Resources.Requests[name]
		if !set {
			return fmt.Errorf("missing request for %s in container %s of Pod %s", name, c.Name, pod.Name)
		}
		total += Milli(request)
		return nil
	}
	for i := range pod.Spec.Containers {
		if err := add(&pod.Spec.Containers[i]); err != nil {
			return 0, err
		}
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		if err := add(c); err != nil {
			return 0, err
		}
	}
	if container != "" && !found {
		return 0, fmt.Errorf("container %s not found in Pod %s", container, pod.Name)
	}
	return total, nil
}

// limitMilli is the largest whole number whose thousandths fit an int64.
const limitMilli = 9223372036854775

// Milli is a quantity in thousandths, rounded up; what does not fit becomes the
// largest or smallest value that does.
func Milli(q resource.Quantity) int64 {
	if q.CmpInt64(limitMilli) > 0 {
		return 1<<63 - 1
	}
	if q.CmpInt64(-limitMilli) < 0 {
		return -1 << 63
	}
	return q.MilliValue()
}
