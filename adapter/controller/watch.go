package controller

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Handler has a turn run for each object that was added, changed or deleted, and
// for those that share a metric name with it, since which of them serves may
// have changed.
func (c *Controller) Handler(ctx context.Context) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { c.changed(ctx, nil, objectOf(o)) },
		UpdateFunc: func(before, after any) {
			b, a := objectOf(before), objectOf(after)
			if b != nil && a != nil && b.UID == a.UID && b.Generation == a.Generation &&
				(b.DeletionTimestamp == nil) == (a.DeletionTimestamp == nil) {
				return // a status, most often our own
			}
			c.changed(ctx, b, a)
		},
		DeleteFunc: func(o any) { c.changed(ctx, objectOf(o), nil) },
	}
}

func objectOf(o any) *v1alpha1.MetricSource {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	object, _ := o.(*v1alpha1.MetricSource)
	return object
}

func (c *Controller) changed(ctx context.Context, before, after *v1alpha1.MetricSource) {
	var names []string
	var key types.NamespacedName
	for _, object := range []*v1alpha1.MetricSource{before, after} {
		if object != nil {
			key = client.ObjectKeyFromObject(object)
			names = append(names, metricNames(object)...)
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

// enqueueHolders has a turn run for the objects of a namespace that declare a
// metric name, but for the one that is named.
func (c *Controller) enqueueHolders(ctx context.Context, but types.NamespacedName, name string) error {
	var list v1alpha1.MetricSourceList
	err := c.cfg.Objects.List(ctx, &list, client.InNamespace(but.Namespace), client.MatchingFields{metricNameIndex: name})
	if err != nil {
		return fmt.Errorf("list MetricSources: %w", err)
	}
	for i := range list.Items {
		if key := client.ObjectKeyFromObject(&list.Items[i]); key != but {
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
	keys := make([]types.NamespacedName, 0, len(list.Items))
	for i := range list.Items {
		keys = append(keys, client.ObjectKeyFromObject(&list.Items[i]))
	}
	return keys, nil
}
