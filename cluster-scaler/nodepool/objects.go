package nodepool

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Split gives namespace and name of a key.
func Split(key string) (namespace, name string) {
	namespace, name, _ = strings.Cut(key, "/")
	return namespace, name
}

// Object is the pod as the scheduler's plugins look at it: one container that
// requests what all of them do. key is namespace/name.
func (c Class) Object(key string) *corev1.Pod {
	namespace, name := Split(key)
	priority := c.Priority
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(key), Labels: c.Labels},
		Spec: corev1.PodSpec{
			NodeSelector: c.Selector, Affinity: c.Affinity, Tolerations: c.Tolerate,
			TopologySpreadConstraints: c.Spread, Priority: &priority,
			Containers: []corev1.Container{{
				Name: "all", Ports: c.Ports, Resources: corev1.ResourceRequirements{Requests: c.Requests},
			}},
		},
	}
}

// Related tells whether where other pods are decides where this one fits.
func (c Class) Related() bool {
	return len(c.Spread) > 0 || c.Affinity != nil && (c.Affinity.PodAffinity != nil || c.Affinity.PodAntiAffinity != nil)
}

// Object is the node as the scheduler's plugins look at it.
func (n Node) Object(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: n.Labels},
		Spec:       corev1.NodeSpec{Taints: n.Taints, Unschedulable: n.Cordoned},
		Status:     corev1.NodeStatus{Allocatable: n.Allocatable},
	}
}

// Started is the node as it will be once it is ready: without the taints that
// the pool's nodes lose at their start, and those of Kubernetes itself.
func (n Node) Started(t Template) Node {
	n.Taints = slices.DeleteFunc(slices.Clone(n.Taints), func(taint corev1.Taint) bool {
		return startup(taint) || slices.ContainsFunc(t.StartupTaints, func(s corev1.Taint) bool {
			return s.Key == taint.Key && s.Effect == taint.Effect
		})
	})
	if len(n.Allocatable) == 0 {
		n.Allocatable = t.Offered()
	}
	return n
}

// NewNode is a node of the pool before it exists. The name must be final: pods
// may ask for it by the label of the host name.
func (p Pool) NewNode(pool string, r Request) Node {
	return Node{
		Pool: pool, Labels: p.Template.NodeLabels(pool, r), Taints: p.Template.Taints,
		Allocatable: p.Template.Offered(), Ready: true, Created: r.At,
	}
}

// NodeLabels are those of the template and those that every node has.
func (t Template) NodeLabels(pool string, r Request) map[string]string {
	labels := map[string]string{
		corev1.LabelArchStable: "amd64",
		corev1.LabelOSStable:   "linux",
	}
	maps.Copy(labels, t.Labels)
	labels[corev1.LabelHostname] = r.Name
	labels[PoolLabel] = pool
	if r.Zone != "" {
		labels[corev1.LabelTopologyZone] = r.Zone
	}
	return labels
}

// Offered is what pods may request of a node: what is stated as allocatable,
// over the capacity.
func (t Template) Offered() corev1.ResourceList {
	out := corev1.ResourceList{corev1.ResourcePods: defaultPods}
	maps.Copy(out, t.Capacity)
	maps.Copy(out, t.Allocatable)
	return out
}

// defaultPods is the kubelet's own limit, for templates that state none.
var defaultPods = *resource.NewQuantity(110, resource.DecimalSI)

// Names gives the keys of a map in order.
func Names[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
