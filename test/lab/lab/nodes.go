package lab

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

const (
	defaultNodes = 3
	// metricsPathAnnotation tells metrics-server where a node's resource metrics are; kwok serves all nodes' on one
	// port and tells them apart by the path.
	metricsPathAnnotation = "metrics.k8s.io/resource-metrics-path"
)

func defaultNodeCapacity() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("16"),
		corev1.ResourceMemory: resource.MustParse("64Gi"),
		corev1.ResourcePods:   resource.MustParse("250"),
	}
}

// NodeGroup describes fake nodes of one kind.
type NodeGroup struct {
	Prefix   string // the nodes are called Prefix-0, Prefix-1 and so on
	Count    int
	Capacity corev1.ResourceList // default: Options.NodeCapacity
	Labels   map[string]string   // besides the host name, the architecture and the operating system
	Taints   []corev1.Taint
}

// AddNodes creates fake nodes and waits until they are Ready.
func (l *Lab) AddNodes(ctx context.Context, g NodeGroup) error {
	if g.Capacity == nil {
		g.Capacity = l.options.NodeCapacity
	}
	names := make([]string, g.Count)
	for i := range names {
		node := g.node(i)
		names[i] = node.Name
		if err := l.client.Create(ctx, node); err != nil {
			return fmt.Errorf("creating node %s: %w", node.Name, err)
		}
	}
	for _, name := range names {
		ready := wait{what: "node " + name, limit: readyLimit, log: toolchain.Kwok}
		err := l.until(ctx, ready, func(ctx context.Context) error { return l.nodeReady(ctx, name, len(g.Taints)) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (g NodeGroup) node(index int) *corev1.Node {
	name := fmt.Sprintf("%s-%d", g.Prefix, index)
	labels := map[string]string{
		corev1.LabelHostname:   name,
		corev1.LabelArchStable: "amd64",
		corev1.LabelOSStable:   "linux",
	}
	for key, value := range g.Labels {
		labels[key] = value
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      labels,
			Annotations: map[string]string{metricsPathAnnotation: "/metrics/nodes/" + name + "/metrics/resource"},
		},
		Spec:   corev1.NodeSpec{Taints: g.Taints},
		Status: corev1.NodeStatus{Capacity: g.Capacity, Allocatable: g.Capacity},
	}
}

// nodeReady wants the condition, and the taint gone with which every node begins its life.
func (l *Lab) nodeReady(ctx context.Context, name string, taints int) error {
	var node corev1.Node
	if err := l.client.Get(ctx, ctrlclient.ObjectKey{Name: name}, &node); err != nil {
		return err
	}
	if len(node.Spec.Taints) > taints {
		return fmt.Errorf("it has the taints %v", node.Spec.Taints)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errors.New("it is not Ready")
}
