package inventory

import (
	"context"
	"errors"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// watch holds the names and labels of the objects of one resource and namespace.
type watch struct {
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	// asked is when somebody last asked; the inventory's mutex guards it.
	asked time.Time
	// failed is closed by the first failure.
	failed chan struct{}

	mu  sync.Mutex
	err error
}

func newWatch(life context.Context, client metadata.Interface, key watchKey) *watch {
	w := &watch{
		informer: metadatainformer.NewFilteredMetadataInformer(client, key.resource, key.namespace, 0, cache.Indexers{}, nil).Informer(),
		failed:   make(chan struct{}),
	}
	ctx, stop := context.WithCancel(life)
	w.stop = stop
	// Both fail only on informers that run already.
	_ = w.informer.SetTransform(onlyLabels)
	_ = w.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { w.fail(err) })
	go w.informer.RunWithContext(ctx)
	return w
}

// onlyLabels drops what is not asked for, so that many objects cost little.
func onlyLabels(object any) (any, error) {
	o, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: o.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: o.Name, Namespace: o.Namespace, UID: o.UID, ResourceVersion: o.ResourceVersion, Labels: o.Labels,
	}}, nil
}

// fail notes why the resource could not be listed or watched. The informer tries
// again by itself.
func (w *watch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		close(w.failed)
	}
	w.err = err
}

func (w *watch) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// ready waits for the first list, and gives the error of one that failed. After
// it, failures of the watch pass: the informer catches up by itself.
func (w *watch) ready(ctx context.Context) error {
	if w.informer.HasSynced() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, firstList)
	defer cancel()
	select {
	case <-w.informer.HasSyncedChecker().Done():
		return nil
	case <-w.failed:
	case <-ctx.Done():
	}
	switch {
	case w.informer.HasSynced():
		return nil
	case w.lastError() != nil:
		return w.lastError()
	}
	return errors.New("the API server has not answered in time")
}

func (w *watch) names(selector labels.Selector) map[string]bool {
	out := map[string]bool{}
	for _, object := range w.informer.GetStore().List() {
		if o, ok := object.(*metav1.PartialObjectMetadata); ok && selector.Matches(labels.Set(o.Labels)) {
			out[o.Name] = true
		}
	}
	return out
}
