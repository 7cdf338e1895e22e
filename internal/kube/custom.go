package kube

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CustomConfig is what a Custom is made of. All but Indexers and Log are required.
type CustomConfig struct {
	Client client.WithWatch
	// Objects names the kind in the plural, for messages.
	Objects string
	// Object is an empty object of the kind, List makes an empty list of it.
	Object client.Object
	List   func() client.ObjectList
	// Transform reduces what is kept of an object.
	Transform cache.TransformFunc
	Indexers  cache.Indexers
	// Log hears when the kind turns out not to be readable, and of nil when it is
	// again.
	Log func(ctx context.Context, why error)
}

// Custom caches the objects of a kind that a CustomResourceDefinition defines. A
// definition that is not installed, or objects that may not be read, are no
// reason to wait: the cache is empty then, and fills within a minute of the
// moment at which they can be read. What it returns is shared and must not be
// changed.
type Custom struct {
	cfg      CustomConfig
	informer cache.SharedIndexInformer

	mu sync.Mutex
	// unreadable is why the kind cannot be read, nil where it can.
	unreadable error
}

// NewCustom makes the cache. It fills while Run runs.
func NewCustom(cfg CustomConfig) (*Custom, error) {
	c := &Custom{cfg: cfg}
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list := cfg.List()
			err := cfg.Client.List(ctx, list, &client.ListOptions{Raw: &options})
			if err == nil {
				c.note(ctx, nil)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := cfg.Client.Watch(ctx, cfg.List(), &client.ListOptions{Raw: &options})
			if err == nil {
				c.note(ctx, nil)
			}
			return w, err
		},
	}
	indexers := cfg.Indexers
	if indexers == nil {
		indexers = cache.Indexers{}
	}
	c.informer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lists, cfg.Client), cfg.Object, 0, indexers)
	if err := c.informer.SetWatchErrorHandlerWithContext(c.failed); err != nil {
		return nil, fmt.Errorf("watch %s: %w", cfg.Objects, err)
	}
	if err := c.informer.SetTransform(cfg.Transform); err != nil {
		return nil, fmt.Errorf("watch %s: %w", cfg.Objects, err)
	}
	return c, nil
}

// failed hears of a list or a watch that failed.
func (c *Custom) failed(ctx context.Context, r *cache.Reflector, err error) {
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		c.note(ctx, err)
		return
	}
	cache.DefaultWatchErrorHandler(ctx, r, err)
}

func (c *Custom) note(ctx context.Context, why error) {
	c.mu.Lock()
	changed := (why == nil) != (c.unreadable == nil)
	c.unreadable = why
	c.mu.Unlock()
	if changed && c.cfg.Log != nil {
		c.cfg.Log(ctx, why)
	}
}

// Informer is what tells of changes.
func (c *Custom) Informer() cache.SharedIndexInformer { return c.informer }

// Run fills the cache and keeps it current until the context ends.
func (c *Custom) Run(ctx context.Context) { c.informer.RunWithContext(ctx) }

// Synced tells whether all objects were seen once, or cannot be.
func (c *Custom) Synced() bool { return c.informer.HasSynced() || c.Unreadable() != nil }

// Unreadable is why the objects cannot be read: the definition is not installed,
// or it is not allowed. It is nil where they can.
func (c *Custom) Unreadable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unreadable
}

// Get finds an object; nil where there is none.
func (c *Custom) Get(namespace, name string) any {
	o, found, err := c.informer.GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	return o
}

// ByIndex gives the objects with a value in one of the indexers.
func (c *Custom) ByIndex(index, value string) []any {
	found, err := c.informer.GetIndexer().ByIndex(index, value)
	if err != nil {
		return nil
	}
	return found
}
