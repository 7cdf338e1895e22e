package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// byLabel indexes pods by each of their labels within their namespace.
const byLabel = "label"

// Pods is a cache of the cluster's pods, reduced to what scaling looks at. What
// it returns is shared and must not be changed.
type Pods struct {
	informer cache.SharedIndexInformer
}

// NewPods makes the cache. It fills while Run runs.
func NewPods(client kubernetes.Interface) (*Pods, error) {
	informer := coreinformers.NewPodInformer(client, metav1.NamespaceAll, 0, cache.Indexers{
		cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
		byLabel:              labelKeys,
	})
	if err := informer.SetTransform(reducePod); err != nil {
		return nil, err
	}
	return &Pods{informer: informer}, nil
}

// Run fills the cache and keeps it current until the context ends.
func (p *Pods) Run(ctx context.Context) { p.informer.RunWithContext(ctx) }

// Synced tells whether the cache has seen all pods once.
func (p *Pods) Synced() bool { return p.informer.HasSynced() }

// Matching gives the pods of a namespace that the selector matches, in no
// order. It looks only at pods that share a label with the selector where that
// asks for one, and at the whole namespace otherwise.
func (p *Pods) Matching(namespace string, selector labels.Selector) ([]*corev1.Pod, error) {
	index, value := p.narrowest(namespace, selector)
	found, err := p.informer.GetIndexer().ByIndex(index, value)
	if err != nil {
		return nil, err
	}
	pods := make([]*corev1.Pod, 0, len(found))
	for _, o := range found {
		if pod, ok := o.(*corev1.Pod); ok && selector.Matches(labels.Set(pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

// narrowest picks the index with the fewest pods to look at.
func (p *Pods) narrowest(namespace string, selector labels.Selector) (index, value string) {
	required := EqualLabels(selector)
	switch len(required) {
	case 0:
		return cache.NamespaceIndex, namespace
	case 1:
		return byLabel, labelKey(namespace, required[0])
	}
	fewest := -1
	for _, label := range required {
		key := labelKey(namespace, label)
		if keys, err := p.informer.GetIndexer().IndexKeys(byLabel, key); err == nil && (fewest < 0 || len(keys) < fewest) {
			fewest, value = len(keys), key
		}
	}
	return byLabel, value
}

// EqualLabels are the labels, as key=value, that everything the selector
// matches has. They are in the selector's order, which is by key.
func EqualLabels(selector labels.Selector) []string {
	requirements, selectable := selector.Requirements()
	if !selectable {
		return nil
	}
	var out []string
	for _, r := range requirements {
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			if r.Values().Len() == 1 {
				out = append(out, r.Key()+"="+r.ValuesUnsorted()[0])
			}
		}
	}
	return out
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

// reducePod keeps of a pod what its readiness, its requests and its owner are
// read from.
func reducePod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	out := &corev1.Pod{}
	out.Name, out.Namespace, out.UID = pod.Name, pod.Namespace, pod.UID
	out.ResourceVersion, out.Labels = pod.ResourceVersion, pod.Labels
	out.OwnerReferences, out.DeletionTimestamp = pod.OwnerReferences, pod.DeletionTimestamp
	out.Spec.Containers = reduceContainers(pod.Spec.Containers)
	out.Spec.InitContainers = reduceContainers(pod.Spec.InitContainers)
	out.Spec.Overhead = pod.Spec.Overhead
	if r := pod.Spec.Resources; r != nil && len(r.Requests) > 0 {
		out.Spec.Resources = &corev1.ResourceRequirements{Requests: r.Requests}
	}
	out.Status.Phase, out.Status.StartTime = pod.Status.Phase, pod.Status.StartTime
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			out.Status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime}}
			break
		}
	}
	return out, nil
}

func reduceContainers(all []corev1.Container) []corev1.Container {
	if len(all) == 0 {
		return nil
	}
	out := make([]corev1.Container, len(all))
	for i, c := range all {
		out[i].Name, out[i].RestartPolicy = c.Name, c.RestartPolicy
		out[i].Resources.Requests = c.Resources.Requests
	}
	return out
}
