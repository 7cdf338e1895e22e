package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// byLabel indexes pods by each of their labels within their namespace.
const byLabel = "label"

// oomKilled is the reason of a container that was killed for memory.
const oomKilled = "OOMKilled"

// podCache holds the pods that have been started, reduced to what is learned
// from. It keeps what the caches of other components drop: how containers ended.
type podCache struct {
	informer cache.SharedIndexInformer
}

func newPodCache(client kubernetes.Interface, namespace string) (*podCache, error) {
	started := fields.OneTermNotEqualSelector("status.phase", string(corev1.PodPending)).String()
	informer := coreinformers.NewFilteredPodInformer(client, namespace, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc, byLabel: labelKeys},
		func(o *metav1.ListOptions) { o.FieldSelector = started })
	if err := informer.SetTransform(reducePod); err != nil {
		return nil, err
	}
	return &podCache{informer: informer}, nil
}

func (c *podCache) run(ctx context.Context) { c.informer.RunWithContext(ctx) }

func (c *podCache) synced() bool { return c.informer.HasSynced() }

// matching gives the pods of a namespace that the selector matches. Of pods it
// looks only at those that have the label that a selector mostly asks for.
func (c *podCache) matching(namespace string, selector labels.Selector) ([]*corev1.Pod, error) {
	index, value := cache.NamespaceIndex, namespace
	// The last label is mostly the one that tells instances apart.
	if equal := kube.EqualLabels(selector); len(equal) > 0 {
		index, value = byLabel, labelKey(namespace, equal[len(equal)-1])
	}
	found, err := c.informer.GetIndexer().ByIndex(index, value)
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	for _, o := range found {
		if pod, ok := o.(*corev1.Pod); ok && selector.Matches(labels.Set(pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

func labelKey(namespace, label string) string { return namespace + "/" + label }

func labelKeys(o any) ([]string, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	keys := make([]string, 0, len(pod.Labels))
	for k, v := range pod.Labels {
		keys = append(keys, labelKey(pod.Namespace, k+"="+v))
	}
	return keys, nil
}

// reducePod keeps the names, labels and memory requests, and the last time that
// each container was killed for memory.
func reducePod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	out := &corev1.Pod{}
	out.Name, out.Namespace, out.UID = pod.Name, pod.Namespace, pod.UID
	out.ResourceVersion, out.Labels = pod.ResourceVersion, pod.Labels
	out.Status.Phase = pod.Status.Phase
	out.Spec.Containers = make([]corev1.Container, len(pod.Spec.Containers))
	for i, c := range pod.Spec.Containers {
		out.Spec.Containers[i].Name = c.Name
		if request, set := c.Resources.Requests[corev1.ResourceMemory]; set {
			out.Spec.Containers[i].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: request}
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		if end := killed(&s); end != nil {
			out.Status.ContainerStatuses = append(out.Status.ContainerStatuses, corev1.ContainerStatus{
				Name: s.Name, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					Reason: oomKilled, FinishedAt: end.FinishedAt,
				}},
			})
		}
	}
	return out, nil
}

// killed gives the later one of the ends that the status tells of, where that
// was for memory.
func killed(s *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	for _, end := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if end != nil && end.Reason == oomKilled && !end.FinishedAt.IsZero() {
			return end
		}
	}
	return nil
}
