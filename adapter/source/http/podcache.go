package httpsource

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CachedPods finds pods in a cache that watches them. The cache begins to watch
// when it is first asked, so a cluster in which no object reads pods is not asked
// for any; then it watches those of all namespaces, of which ReadinessOnly keeps
// what is needed here.
type CachedPods struct{ Reader client.Reader }

// Ready gives the pods of a namespace that are Ready, sorted by name.
func (c CachedPods) Ready(ctx context.Context, namespace string, selector labels.Selector) ([]Pod, error) {
	var list corev1.PodList
	err := c.Reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var pods []Pod
	for i := range list.Items {
		if p := &list.Items[i]; isReady(p) {
			pods = append(pods, Pod{Name: p.Name, IP: p.Status.PodIP, Ports: namedPorts(p)})
		}
	}
	slices.SortFunc(pods, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods, nil
}

// isReady tells whether a pod takes requests: as a Service's endpoints see it.
func isReady(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil || p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning {
		return false
	}
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// namedPorts are the ports that containers name, sidecars among them.
func namedPorts(p *corev1.Pod) map[string]int32 {
	ports := map[string]int32{}
	for _, container := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		for _, port := range container.Ports {
			if _, taken := ports[port.Name]; port.Name != "" && !taken {
				ports[port.Name] = port.ContainerPort
			}
		}
	}
	return ports
}

// ReadinessOnly strips pods, before a cache keeps them, of all that CachedPods does
// not look at: most of a pod's size. It is a cache's TransformFunc.
func ReadinessOnly(object any) (any, error) {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil // a tombstone, or nothing of ours
	}
	kept := &corev1.Pod{
		TypeMeta: p.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Namespace: p.Namespace, UID: p.UID, ResourceVersion: p.ResourceVersion,
			Labels: p.Labels, DeletionTimestamp: p.DeletionTimestamp,
		},
		Spec: corev1.PodSpec{
			Containers:     portsOnly(p.Spec.Containers),
			InitContainers: portsOnly(p.Spec.InitContainers),
		},
		Status: corev1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP},
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			kept.Status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return kept, nil
}

// portsOnly keeps the containers that have named ports, with these.
func portsOnly(containers []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for _, c := range containers {
		var ports []corev1.ContainerPort
		for _, port := range c.Ports {
			if port.Name != "" {
				ports = append(ports, corev1.ContainerPort{Name: port.Name, ContainerPort: port.ContainerPort})
			}
		}
		if len(ports) > 0 {
			kept = append(kept, corev1.Container{Name: c.Name, Ports: ports})
		}
	}
	return kept
}
