package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

const (
	// valuesEvery is how often an object's values and messages are written, at the
	// most, while no condition changes.
	valuesEvery = 10 * time.Second
	// valuesPerSecond bounds such writes of all objects together: those of many
	// objects are each written less often.
	valuesPerSecond = 10
	// statusRetry is the pause after a write that failed.
	statusRetry = 2 * time.Second
	// statusTimeout bounds one write.
	statusTimeout = 10 * time.Second
	// fieldOwner owns the fields of status.
	fieldOwner = "metrics-adapter"
)

// statusWriter writes the status of objects and reports transitions. It has a
// queue of its own, so that a slow API server delays no turn.
type statusWriter struct {
	cfg   Config
	queue workqueue.TypedDelayingInterface[types.NamespacedName]

	mu     sync.Mutex
	leads  bool
	wanted map[types.NamespacedName]*query.Decision
	// written is what this replica last wrote: newer than the cache may be.
	written map[types.NamespacedName]written
}

type written struct {
	uid types.UID
	// status is nil once the cache has it.
	status *v1alpha1.MetricSourceStatus
	at     time.Time
}

func newStatusWriter(cfg Config) *statusWriter {
	return &statusWriter{
		cfg: cfg,
		queue: workqueue.NewTypedDelayingQueueWithConfig(
			workqueue.TypedDelayingQueueConfig[types.NamespacedName]{Name: "metricsource-status", Clock: realOr(cfg.Clock)}),
		wanted:  map[types.NamespacedName]*query.Decision{},
		written: map[types.NamespacedName]written{},
	}
}

// want notes what an object's status is to say.
func (w *statusWriter) want(key types.NamespacedName, d *query.Decision) {
	w.mu.Lock()
	w.wanted[key] = d
	leads := w.leads
	w.mu.Unlock()
	if leads {
		w.queue.Add(key)
	}
}

func (w *statusWriter) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wanted, key)
	delete(w.written, key)
}

// run writes until the context ends. It may be called again after it returned
// with the work of another leader in between.
func (w *statusWriter) run(ctx context.Context) error {
	w.mu.Lock()
	w.leads = true
	clear(w.written)
	for key := range w.wanted {
		w.queue.Add(key)
	}
	w.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		w.leads = false
		w.mu.Unlock()
		w.queue.Add(types.NamespacedName{}) // wakes the loop below
	})
	defer stop()
	for ctx.Err() == nil {
		key, shutdown := w.queue.Get()
		if shutdown {
			return nil
		}
		if ctx.Err() == nil && key.Name != "" {
			w.write(ctx, key)
		}
		w.queue.Done(key)
	}
	return nil
}

// write brings one object's status to what is wanted, or puts it off.
func (w *statusWriter) write(ctx context.Context, key types.NamespacedName) {
	w.mu.Lock()
	d, ok := w.wanted[key]
	before, wrote := w.written[key]
	w.mu.Unlock()
	if !ok {
		return
	}
	o, err := read(ctx, w.cfg.Objects, key)
	if err != nil || o == nil || string(o.GetUID()) != d.Unit.UID {
		return // gone or made anew: a turn of its own forgets or decides
	}
	o = o.copied() // the cache's own is shared
	if wrote && before.uid == o.GetUID() && before.status != nil {
		w.caughtUp(key, o, before)
	}
	now := w.cfg.Clock.Now()
	next := render(*o.status, *d, now)
	switch weigh(*o.status, next) {
	case nothing:
		return
	case valuesOnly:
		if wait := before.at.Add(w.valuesPause()).Sub(now); wrote && wait > 0 {
			w.queue.AddAfter(key, wait)
			return
		}
	}
	if err := w.patch(ctx, o, next); err != nil {
		if !apierrors.IsNotFound(err) && ctx.Err() == nil {
			w.cfg.Log.Error("Could not write the status of a "+o.kind, "metricsource", nameOf(key), "error", err)
			w.queue.AddAfter(key, statusRetry)
		}
		return
	}
	w.report(o, next)
	w.mu.Lock()
	if _, still := w.wanted[key]; still {
		w.written[key] = written{uid: o.GetUID(), status: &next, at: now}
	}
	w.mu.Unlock()
}

// caughtUp takes what was written in place of a cache that lags behind, and drops it
// once the cache has it.
func (w *statusWriter) caughtUp(key types.NamespacedName, o *object, before written) {
	if !equality.Semantic.DeepEqual(*o.status, *before.status) {
		*o.status = *before.status
		return
	}
	before.status = nil
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, still := w.written[key]; still {
		w.written[key] = before
	}
}

// valuesPause is the time between two writes of one object's values.
func (w *statusWriter) valuesPause() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(valuesEvery, time.Duration(len(w.wanted))*time.Second/valuesPerSecond)
}

func (w *statusWriter) patch(ctx context.Context, o *object, next v1alpha1.MetricSourceStatus) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	changed := o.copied()
	*changed.status = *next.DeepCopy()
	return w.cfg.Status.Status().Patch(ctx, changed.Object, client.MergeFrom(o.Object), client.FieldOwner(fieldOwner))
}
