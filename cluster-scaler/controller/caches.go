package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	policyinformers "k8s.io/client-go/informers/policy/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// caches hold the cluster. What they return is shared and must not be changed.
type caches struct {
	nodes, pods, budgets, namespaces cache.SharedIndexInformer
}

func newCaches(client kubernetes.Interface) (*caches, error) {
	c := &caches{
		nodes:      coreinformers.NewNodeInformer(client, 0, cache.Indexers{}),
		pods:       coreinformers.NewPodInformer(client, metav1.NamespaceAll, 0, cache.Indexers{}),
		budgets:    policyinformers.NewPodDisruptionBudgetInformer(client, metav1.NamespaceAll, 0, cache.Indexers{}),
		namespaces: coreinformers.NewNamespaceInformer(client, 0, cache.Indexers{}),
	}
	for _, informer := range c.all() {
		if err := informer.SetTransform(withoutManagers); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *caches) all() []cache.SharedIndexInformer {
	return []cache.SharedIndexInformer{c.nodes, c.pods, c.budgets, c.namespaces}
}

// withoutManagers drops what is large and never looked at.
func withoutManagers(o any) (any, error) {
	if object, ok := o.(metav1.Object); ok {
		object.SetManagedFields(nil)
	}
	return o, nil
}

// run fills the caches and keeps them current until the context ends.
func (c *caches) run(ctx context.Context) {
	for _, informer := range c.all()[1:] {
		go informer.RunWithContext(ctx)
	}
	c.nodes.RunWithContext(ctx)
}

// synced tells whether everything has been listed once.
func (c *caches) synced() bool {
	for _, informer := range c.all() {
		if !informer.HasSynced() {
			return false
		}
	}
	return true
}

// onUnschedulable calls back when a pod begins to wait for a node.
func (c *caches) onUnschedulable(call func()) error {
	waits := func(o any) bool {
		p, ok := o.(*corev1.Pod)
		return ok && unschedulable(p)
	}
	_, err := c.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if waits(o) {
				call()
			}
		},
		UpdateFunc: func(before, after any) {
			if waits(after) && !waits(before) {
				call()
			}
		},
	})
	return err
}

// listed gives what an informer holds, in no order.
func listed[T any](informer cache.SharedIndexInformer) []T {
	all := informer.GetStore().List()
	out := make([]T, 0, len(all))
	for _, o := range all {
		if object, ok := o.(T); ok {
			out = append(out, object)
		}
	}
	return out
}

func (c *caches) allNodes() []*corev1.Node { return listed[*corev1.Node](c.nodes) }
func (c *caches) allPods() []*corev1.Pod   { return listed[*corev1.Pod](c.pods) }
func (c *caches) allBudgets() []*policyv1.PodDisruptionBudget {
	return listed[*policyv1.PodDisruptionBudget](c.budgets)
}
func (c *caches) allNamespaces() []*corev1.Namespace { return listed[*corev1.Namespace](c.namespaces) }
