package controller

import (
	"context"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// targetCache holds the targets of one kind, as what is looked up of them.
type targetCache struct {
	reflector *cache.Reflector

	listed  atomic.Bool
	mu      sync.RWMutex
	records map[types.NamespacedName]*targetRecord
}

// targetRecord is what is kept of a target: the selector of its pods, or why there
// is none, and what controls it. It is shared and must not be changed.
type targetRecord struct {
	key      types.NamespacedName
	selector labels.Selector
	err      error
	owner    *metav1.OwnerReference
}

// GetObjectMeta identifies the record as the object that it was made from.
func (r *targetRecord) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: r.key.Namespace, Name: r.key.Name}
}

func newTargetCache(client dynamic.Interface, resource schema.GroupVersionResource, namespace string) *targetCache {
	c := &targetCache{records: map[types.NamespacedName]*targetRecord{}}
	objects := client.Resource(resource).Namespace(namespace)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return objects.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return objects.Watch(ctx, o)
		},
	}
	c.reflector = cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(source, client), &unstructured.Unstructured{}, c,
		cache.ReflectorOptions{Name: resource.Resource, TypeDescription: resource.Resource})
	return c
}

func (c *targetCache) synced() bool { return c.listed.Load() }

// get finds a target; nil where there is none.
func (c *targetCache) get(key types.NamespacedName) *targetRecord {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.records[key]
}

// Transformer makes the reflector keep records while it lists, and no objects.
func (c *targetCache) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		if r := targetOfObject(o); r != nil {
			return r, nil
		}
		return o, nil
	}
}

func targetOfObject(o any) *targetRecord {
	switch o := o.(type) {
	case *targetRecord:
		return o
	case *unstructured.Unstructured:
		r := &targetRecord{key: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}}
		r.owner = metav1.GetControllerOf(o)
		r.selector, r.err = selectorOf(o, o.GetKind())
		return r
	}
	return nil
}

// Add is called by the reflector.
func (c *targetCache) Add(o any) error {
	if r := targetOfObject(o); r != nil {
		c.mu.Lock()
		c.records[r.key] = r
		c.mu.Unlock()
	}
	return nil
}

// Update is called by the reflector.
func (c *targetCache) Update(o any) error { return c.Add(o) }

// Delete is called by the reflector.
func (c *targetCache) Delete(o any) error {
	if r := targetOfObject(o); r != nil {
		c.mu.Lock()
		delete(c.records, r.key)
		c.mu.Unlock()
	}
	return nil
}

// Replace is called by the reflector when it has listed all objects.
func (c *targetCache) Replace(all []any, _ string) error {
	records := make(map[types.NamespacedName]*targetRecord, len(all))
	for _, o := range all {
		if r := targetOfObject(o); r != nil {
			records[r.key] = r
		}
	}
	c.mu.Lock()
	c.records = records
	c.mu.Unlock()
	c.listed.Store(true)
	return nil
}

// Resync is called by the reflector and means nothing here.
func (c *targetCache) Resync() error { return nil }
