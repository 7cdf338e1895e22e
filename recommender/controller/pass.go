package controller

import (
	"context"
	"sync"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// pass is what the turns of one pass share: what is asked for once.
type pass struct {
	// usage is by namespace and pod.
	usage *once[map[string]*metricsapi.PodMetrics]
	// checkpoints are by namespace.
	checkpoints *once[[]vpav1.VerticalPodAutoscalerCheckpoint]
	// twin is another recommender that was seen by its lease.
	twin *once[*estimator.Writer]
}

// once loads a value for each key at its first use.
type once[T any] struct {
	load func(ctx context.Context, key string) (T, error)

	mu      sync.Mutex
	entries map[string]*entry[T]
}

type entry[T any] struct {
	load  sync.Once
	value T
	err   error
}

func newOnce[T any](load func(ctx context.Context, key string) (T, error)) *once[T] {
	return &once[T]{load: load, entries: map[string]*entry[T]{}}
}

func (o *once[T]) get(ctx context.Context, key string) (T, error) {
	o.mu.Lock()
	e := o.entries[key]
	if e == nil {
		e = &entry[T]{}
		o.entries[key] = e
	}
	o.mu.Unlock()
	e.load.Do(func() { e.value, e.err = o.load(ctx, key) })
	return e.value, e.err
}

// visit is one turn's view of the cluster, handed from the observer to the
// actuator and the publisher in the context.
type visit struct {
	pass *pass
	// vpa is the object as it was last seen or written. It is shared and must not
	// be changed.
	vpa *vpav1.VerticalPodAutoscaler
}

type visitKey struct{}

func withVisit(ctx context.Context, v *visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}
