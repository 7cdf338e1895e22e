package controller

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// byController indexes pods by the controller that owns them.
const byController = "controller"

// observedContainers is the annotation in which the admission webhook lists the
// containers that it saw.
const observedContainers = "vpaObservedContainers"

// oomKilled is the reason of a container's end for lack of memory.
const oomKilled = "OOMKilled"

// podCache holds the cluster's pods, reduced to what updates depend on.
type podCache struct {
	informer cache.SharedIndexInformer
}

func newPodCache(client kubernetes.Interface, placing bool) (*podCache, error) {
	informer := coreinformers.NewPodInformer(client, metav1.NamespaceAll, 0, cache.Indexers{byController: podKeys})
	return &podCache{informer: informer}, informer.SetTransform(reducing(placing))
}

func (c *podCache) run(ctx context.Context) { c.informer.RunWithContext(ctx) }

func (c *podCache) synced() bool { return c.informer.HasSynced() }

// of gives the live pods that a controller owns, in no order.
func (c *podCache) of(namespace string, controller vertical.Ref) []*corev1.Pod {
	found, err := c.informer.GetIndexer().ByIndex(byController, podKey(namespace, controller))
	if err != nil {
		return nil
	}
	pods := make([]*corev1.Pod, 0, len(found))
	for _, o := range found {
		if pod, ok := o.(*corev1.Pod); ok && live(pod) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// live tells whether the pod counts: one that is on a node, and neither ended nor
// deleted. A pod that has no node yet comes up as the webhook made it just now.
func live(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Spec.NodeName != "" && !ended(pod)
}

// ended tells whether the pod has run to its end: its controller counts it no
// more, and evicting it would change nothing.
func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func podKey(namespace string, controller vertical.Ref) string {
	return namespace + "/" + controller.String()
}

func podKeys(o any) ([]string, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		return []string{podKey(pod.Namespace, vertical.Ref{Kind: owner.Kind, Name: owner.Name})}, nil
	}
	return nil, nil
}

// reducePod keeps what an update is judged by.
func reducePod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	out := &corev1.Pod{}
	out.Namespace, out.Name, out.UID = pod.Namespace, pod.Name, pod.UID
	out.ResourceVersion, out.OwnerReferences = pod.ResourceVersion, pod.OwnerReferences
	out.DeletionTimestamp, out.Spec.NodeName = pod.DeletionTimestamp, pod.Spec.NodeName
	if observed, ok := pod.Annotations[observedContainers]; ok {
		out.Annotations = map[string]string{observedContainers: observed}
	}
	boosts := keepBoosts(pod, out)
	for _, c := range pod.Spec.Containers {
		reduced := corev1.Container{Name: c.Name}
		reduced.Resources.Requests, reduced.Resources.Limits = c.Resources.Requests, c.Resources.Limits
		reduced.ResizePolicy = c.ResizePolicy
		out.Spec.Containers = append(out.Spec.Containers, reduced)
	}
	for _, c := range pod.Spec.InitContainers {
		reduced := corev1.Container{Name: c.Name}
		reduced.Resources.Requests, reduced.Resources.Limits = c.Resources.Requests, c.Resources.Limits
		out.Spec.InitContainers = append(out.Spec.InitContainers, reduced)
	}
	out.Spec.Resources = pod.Spec.Resources
	out.Status.Phase, out.Status.StartTime, out.Status.QOSClass = pod.Status.Phase, pod.Status.StartTime, pod.Status.QOSClass
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress || boosts && c.Type == corev1.PodReady {
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		reduced := corev1.ContainerStatus{Name: s.Name, Resources: s.Resources}
		if end := s.LastTerminationState.Terminated; end != nil && end.Reason == oomKilled {
			reduced.LastTerminationState.Terminated = end
		}
		out.Status.ContainerStatuses = append(out.Status.ContainerStatuses, reduced)
	}
	return out, nil
}

// observedIn reads the annotation: none where it is not a list of names, and one
// that no container has where it is empty.
func observedIn(annotation string) []string {
	names := strings.Split(annotation, ", ")
	if annotation != "" && slices.ContainsFunc(names, func(n string) bool { return len(validation.IsDNS1123Label(n)) > 0 }) {
		return nil
	}
	return names
}

// projectPod takes over what the rules look at, and where pods are resized in
// place also what that depends on.
func projectPod(pod *corev1.Pod, resizes bool) eviction.Pod {
	out := eviction.Pod{
		UID: string(pod.UID), Pending: pod.Status.Phase == corev1.PodPending,
		Started: vertical.UTC(pod.Status.StartTime), Containers: vertical.Containers(pod),
		Resize: resize.StatusOf(pod.Status.Conditions),
	}
	if resizes || out.Resize != nil {
		spec := resize.SpecOf(pod, out.Containers)
		out.Spec = &spec
	}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		out.Group = vertical.Ref{Kind: owner.Kind, Name: owner.Name}.String()
	}
	if observed, noted := pod.Annotations[observedContainers]; noted {
		out.Observed = observedIn(observed)
	}
	for _, s := range pod.Status.ContainerStatuses {
		if end := s.LastTerminationState.Terminated; end != nil && end.Reason == oomKilled {
			if out.OOMs == nil {
				out.OOMs = map[string]eviction.OOM{}
			}
			out.OOMs[s.Name] = eviction.OOM{Started: vertical.UTC(&end.StartedAt), Finished: vertical.UTC(&end.FinishedAt)}
		}
	}
	return out
}
