package controller

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Watch has a cache index and watch both kinds of objects, before it is started.
func (c *Controller) Watch(ctx context.Context, objects cache.Cache) error {
	c.namespaces.watch = c.namespaces.watchIn(objects)
	for _, kind := range []client.Object{&v1alpha1.MetricSource{}, &v1alpha1.ClusterMetricSource{}} {
		called := viewOf(kind).kind
		field, values := IndexMetricNames()
		if err := objects.IndexField(ctx, kind, field, values); err != nil {
			return fmt.Errorf("index %ss: %w", called, err)
		}
		informer, err := objects.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %ss: %w", called, err)
		}
		if _, err := informer.AddEventHandler(c.Handler(ctx)); err != nil {
			return fmt.Errorf("watch %ss: %w", called, err)
		}
	}
	return nil
}

// Handler has a turn run for each object that was added, changed or deleted, and
// for those that share a metric name with it, since which of them serves may
// have changed.
func (c *Controller) Handler(ctx context.Context) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { c.changed(ctx, nil, objectOf(o)) },
		UpdateFunc: func(before, after any) {
			b, a := objectOf(before), objectOf(after)
			if b != nil && a != nil && b.GetUID() == a.GetUID() && b.GetGeneration() == a.GetGeneration() &&
				(b.GetDeletionTimestamp() == nil) == (a.GetDeletionTimestamp() == nil) {
				return // a status, most often our own
			}
			c.changed(ctx, b, a)
		},
		DeleteFunc: func(o any) { c.changed(ctx, objectOf(o), nil) },
	}
}

func objectOf(o any) *object {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	return viewOf(o)
}

func (c *Controller) changed(ctx context.Context, before, after *object) {
	var names []string
	var key types.NamespacedName
	for _, object := range []*object{before, after} {
		if object != nil {
			key = object.key()
			names = append(names, object.metricNames()...)
		}
	}
	if key.Name == "" {
		return
	}
	c.queue.Add(key)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := c.enqueueHolders(ctx, key, name); err != nil {
			c.cfg.Log.Error("Could not find the MetricSources of a metric name", "metric", name, "error", err)
		}
	}
}

// enqueueHolders has a turn run for the objects that compete for a metric name,
// but for the one that is named.
func (c *Controller) enqueueHolders(ctx context.Context, but types.NamespacedName, name string) error {
	found, err := holders(ctx, c.cfg.Objects, but.Namespace, name)
	if err != nil {
		return err
	}
	for _, o := range found {
		if key := o.key(); key != but {
			c.queue.Add(key)
		}
	}
	return nil
}

// Present lists the objects that are there, for Run.
func Present(ctx context.Context, objects client.Reader) ([]types.NamespacedName, error) {
	var list v1alpha1.MetricSourceList
	if err := objects.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list MetricSources: %w", err)
	}
	var cluster v1alpha1.ClusterMetricSourceList
	if err := objects.List(ctx, &cluster); err != nil {
		return nil, fmt.Errorf("list ClusterMetricSources: %w", err)
	}
	keys := make([]types.NamespacedName, 0, len(list.Items)+len(cluster.Items))
	for i := range list.Items {
		keys = append(keys, client.ObjectKeyFromObject(&list.Items[i]))
	}
	for i := range cluster.Items {
		keys = append(keys, client.ObjectKeyFromObject(&cluster.Items[i]))
	}
	return keys, nil
}
