package controller

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// pass is what the turns of one pass share: what is asked for once.
type pass struct {
	// usage is by namespace, or under none where wide, by pod.
	usage *once[usages]
	// wide tells that one question for the usage of all pods is better than one for
	// each namespace.
	wide bool
	// archives are the checkpoints by namespace, everything those of all of them.
	archives   *once[*archive]
	everything *once[map[string]*archive]
	// first tells that nothing is known yet, so that all checkpoints are read.
	first bool
	// targets are the objects by what they scale.
	targets *once[map[string][]types.NamespacedName]
	// images are all that is known of images, under one key.
	images *once[shelf]
	// twin is another recommender that was seen by its lease.
	twin *once[*estimator.Writer]
}

// usageIn gives the usage of a namespace's pods, and maybe of others.
func (p *pass) usageIn(ctx context.Context, namespace string) (usages, error) {
	if p.wide {
		namespace = ""
	}
	return p.usage.get(ctx, namespace)
}

// archive gives the checkpoints of a namespace.
func (p *pass) archive(ctx context.Context, namespace string) (*archive, error) {
	if !p.first {
		return p.archives.get(ctx, namespace)
	}
	all, err := p.everything.get(ctx, "")
	if err != nil {
		return nil, err
	}
	if found := all[namespace]; found != nil {
		return found, nil
	}
	return newArchive(), nil
}

// once loads a value for each key at its first use.
type once[T any] struct {
	load func(ctx context.Context, key string) (T, error)

	mu      sync.Mutex
	entries map[string]*loading[T]
}

type loading[T any] struct {
	load  sync.Once
	value T
	err   error
}

func newOnce[T any](load func(ctx context.Context, key string) (T, error)) *once[T] {
	return &once[T]{load: load, entries: map[string]*loading[T]{}}
}

func (o *once[T]) get(ctx context.Context, key string) (T, error) {
	o.mu.Lock()
	e := o.entries[key]
	if e == nil {
		e = &loading[T]{}
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
	// fetching says why the history is not at hand yet, empty where it is.
	fetching string
	// later tells that the status will be written outside of the turn, and written
	// that it was.
	later, written bool
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
