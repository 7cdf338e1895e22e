package controller

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	resourcehelpers "k8s.io/component-helpers/resource"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// updatesAnnotation is where the admission webhook says what it set, for which
// object.
const updatesAnnotation = "vpaUpdates"

// patchedFor is how the annotation begins; the object's name follows.
const patchedFor = "Pod resources updated by "

// reducing keeps of pods what updates depend on, and where pods must fit also what
// placing them does.
func reducing(placing bool) cache.TransformFunc {
	return func(o any) (any, error) {
		reduced, err := reducePod(o)
		from, isPod := o.(*corev1.Pod)
		to, isReduced := reduced.(*corev1.Pod)
		if err != nil || !isPod || !isReduced || from == to {
			return reduced, err
		}
		to.CreationTimestamp = from.CreationTimestamp
		if said, ok := from.Annotations[updatesAnnotation]; ok {
			if to.Annotations == nil {
				to.Annotations = map[string]string{}
			}
			object, _, _ := strings.Cut(said, ":")
			to.Annotations[updatesAnnotation] = object
		}
		isReady := func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady }
		for _, c := range from.Status.Conditions {
			if isReady(c) && !slices.ContainsFunc(to.Status.Conditions, isReady) {
				to.Status.Conditions = append(to.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status})
			}
		}
		if placing {
			keepPlacing(from, to)
		}
		return to, nil
	}
}

// keepPlacing keeps what a scheduler would look at.
func keepPlacing(from, to *corev1.Pod) {
	spec := &from.Spec
	to.Spec.NodeName, to.Spec.SchedulerName = spec.NodeName, spec.SchedulerName
	to.Spec.NodeSelector, to.Spec.Affinity, to.Spec.Tolerations = spec.NodeSelector, spec.Affinity, spec.Tolerations
	to.Spec.TopologySpreadConstraints, to.Spec.ResourceClaims = spec.TopologySpreadConstraints, spec.ResourceClaims
	to.Spec.Overhead, to.Spec.PriorityClassName, to.Spec.ActiveDeadlineSeconds = spec.Overhead, spec.PriorityClassName, spec.ActiveDeadlineSeconds
	for _, v := range spec.Volumes {
		if v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			to.Spec.Volumes = append(to.Spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: v.VolumeSource})
		}
	}
	for i, c := range spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				to.Spec.Containers[i].Ports = append(to.Spec.Containers[i].Ports, p)
			}
		}
	}
	for i, c := range spec.InitContainers {
		if i < len(to.Spec.InitContainers) {
			to.Spec.InitContainers[i].RestartPolicy = c.RestartPolicy
		}
	}
}

// projectKind takes over what being kind depends on.
func projectKind(pod *corev1.Pod, vpa string, out *eviction.Pod) {
	out.Created, out.QOS = vertical.UTC(&pod.CreationTimestamp), pod.Status.QOSClass
	out.Patched = pod.Annotations[updatesAnnotation] == patchedFor+vpa
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
	}
}

// projectPlace takes over what placing the pod depends on.
func projectPlace(pod *corev1.Pod) *fit.Pod {
	out := &fit.Pod{
		Node: pod.Spec.NodeName, Requests: requestsOf(pod), Selector: pod.Spec.NodeSelector, Tolerations: pod.Spec.Tolerations,
		Tied: tied(pod), Priority: pod.Spec.PriorityClassName, Deadline: pod.Spec.ActiveDeadlineSeconds != nil,
	}
	for _, c := range pod.Spec.InitContainers {
		out.Fixed = append(out.Fixed, resourcepolicy.Container{Name: c.Name, Requests: c.Resources.Requests, Limits: c.Resources.Limits})
	}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		out.Affinity = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	out.Across = slices.ContainsFunc(podTerms(pod), func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil })
	return out
}

// requestsOf are those that the scheduler counts.
func requestsOf(pod *corev1.Pod) fit.Amounts {
	return fit.AmountsOf(resourcehelpers.PodRequests(pod, resourcehelpers.PodResourcesOptions{UseStatusResources: true}))
}

// podTerms are the required terms of affinity between pods.
func podTerms(pod *corev1.Pod) []corev1.PodAffinityTerm {
	var out []corev1.PodAffinityTerm
	if a := pod.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			out = append(out, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		}
		if a.PodAntiAffinity != nil {
			out = append(out, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		}
	}
	return out
}

// tied tells what of the pod only the node that it is on is known to satisfy.
func tied(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	switch {
	case owner != nil && owner.Kind == "DaemonSet":
		return "its DaemonSet"
	case len(podTerms(pod)) > 0:
		return "affinity between pods"
	case slices.ContainsFunc(pod.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == corev1.DoNotSchedule }):
		return "a topology spread constraint"
	case len(pod.Spec.Volumes) > 0:
		return "its volumes"
	case len(pod.Spec.ResourceClaims) > 0:
		return "its resource claims"
	case slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return len(c.Ports) > 0 }):
		return "ports of the node"
	case pod.Spec.SchedulerName != "" && pod.Spec.SchedulerName != corev1.DefaultSchedulerName:
		return "scheduler " + pod.Spec.SchedulerName
	}
	return ""
}
