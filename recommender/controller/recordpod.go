package controller

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
)

// recordPod takes over what is learned from a pod, beside its usage. With sidecars,
// init containers that run as long as the pod are containers like the others.
func recordPod(pod *corev1.Pod, sidecars bool) *podRecord {
	out := &podRecord{namespace: pod.Namespace, name: pod.Name, labels: join(pod.Labels),
		containers: make([]podContainer, len(pod.Spec.Containers))}
	for i := range pod.Spec.Containers {
		out.containers[i] = recordContainer(&pod.Spec.Containers[i], pod.Status.ContainerStatuses)
	}
	if !sidecars {
		return out
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out.containers = append(out.containers, recordContainer(c, pod.Status.InitContainerStatuses))
		}
	}
	return out
}

// recordContainer takes over the memory in force, which the status says where
// nodes resize pods, and the spec otherwise.
func recordContainer(c *corev1.Container, statuses []corev1.ContainerStatus) podContainer {
	out := podContainer{
		name: unique.Make(c.Name), image: unique.Make(imageName(c.Image)),
		cpu: c.Resources.Requests.Cpu().MilliValue(), memory: c.Resources.Requests.Memory().Value(),
	}
	in := &c.Resources
	for i := range statuses {
		s := &statuses[i]
		if s.Name != c.Name {
			continue
		}
		if s.Resources != nil {
			in = s.Resources
		}
		out.Killed = killed(s)
		end := s.State.Terminated
		out.ended = end != nil && utc(end.FinishedAt.Time).Equal(out.Killed)
	}
	request, limit := in.Requests[corev1.ResourceMemory], in.Limits[corev1.ResourceMemory]
	out.Container.Request, out.Container.Limit = request.Value(), limit.Value()
	return out
}
