package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// namespacesTimeout bounds how long the first object that chooses namespaces
// waits for them to be listed.
const namespacesTimeout = 5 * time.Second

// Namespaces knows the labels of namespaces, once a ClusterMetricSource chooses
// by them: without one they are not watched. It is safe for concurrent use.
type Namespaces struct {
	// watch begins the watching and returns when all are known, or the context
	// ends; nil where something else calls the Handler.
	watch func(ctx context.Context) error

	starting sync.Mutex
	started  bool

	mu     sync.RWMutex
	labels map[string]labels.Set
}

// Labels gives a namespace's labels, or false where it is not known.
func (n *Namespaces) Labels(namespace string) (labels.Set, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	set, ok := n.labels[namespace]
	return set, ok
}

// Handler hears of namespaces; their metadata is enough.
func (n *Namespaces) Handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    n.put,
		UpdateFunc: func(_, after any) { n.put(after) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if namespace, ok := o.(metav1.Object); ok {
				n.mu.Lock()
				defer n.mu.Unlock()
				delete(n.labels, namespace.GetName())
			}
		},
	}
}

func (n *Namespaces) put(o any) {
	namespace, ok := o.(metav1.Object)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.labels[namespace.GetName()] = namespace.GetLabels()
}

// want has namespaces watched from now on. The first call waits a while until
// they are known, so that readiness does not come before.
func (n *Namespaces) want(ctx context.Context) error {
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.started || n.watch == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, namespacesTimeout)
	defer cancel()
	if err := n.watch(ctx); err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	n.started = true
	return nil
}

// watchIn watches namespaces by the cache, their metadata only.
func (n *Namespaces) watchIn(objects cache.Cache) func(context.Context) error {
	return func(ctx context.Context) error {
		kind := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
		informer, err := objects.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return err
		}
		handler, err := informer.AddEventHandler(n.Handler())
		if err != nil {
			return err
		}
		// The watch goes on whether or not the list comes in time.
		toolscache.WaitForCacheSync(ctx.Done(), handler.HasSynced)
		return nil
	}
}
