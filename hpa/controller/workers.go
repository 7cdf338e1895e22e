package controller

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// grace is how long a turn that runs when the work ends may go on: long enough
// to finish a write, shorter than the time until another replica may lead.
const grace = 3 * time.Second

type turns = loop.Loop[replicas.Snapshot, replicas.State, replicas.Decision]

// workers keep every object turning: at once when it appears or its spec
// changes, and then once a period.
type workers struct {
	count  int
	period time.Duration
	// config are the flags that decisions are made by.
	config replicas.Config
	// objects are those to keep turning.
	objects *objects
	loop    *turns
	// counted hears of every turn, forget of every object that is gone.
	counted func(d replicas.Decision, o decision.Outcome, took time.Duration)
	seen    func(decision.Unit)
	forget  func(object, decision.Unit)
	// reactions bring turns forward; nil for none.
	reactions *reactions

	queue workqueue.TypedDelayingInterface[object]

	mu    sync.Mutex
	units map[object]decision.Unit

	// slots bound the turns that work, lanes those that wait for the same.
	slots *slots
	lanes *lanes
}

// run turns objects until the context ends and the running turns have.
func (w *workers) run(ctx context.Context) error {
	w.queue = workqueue.NewTypedDelayingQueueWithConfig(
		workqueue.TypedDelayingQueueConfig[object]{Name: "horizontalpodautoscaler"})
	w.units = map[object]decision.Unit{}
	stop, err := w.objects.watch(w.enqueue)
	if err != nil {
		return err
	}
	defer stop()

	turning, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	w.slots, w.lanes = newSlots(w.count), newLanes()
	var working sync.WaitGroup
	working.Go(func() {
		for w.next(turning, &working) {
		}
	})
	working.Go(func() { w.reactions.run(ctx, w.queue.AddAfter) })
	<-ctx.Done()
	w.queue.ShutDown()
	late := time.AfterFunc(grace, cancel)
	defer late.Stop()
	working.Wait()
	return nil
}

func (w *workers) enqueue(key object) {
	w.reactions.release(key)
	w.queue.Add(key)
}

// next takes one object from the queue and begins its turn; false where the queue
// has ended.
func (w *workers) next(ctx context.Context, working *sync.WaitGroup) bool {
	key, ended := w.queue.Get()
	if ended {
		return false
	}
	w.slots.take()
	working.Go(func() {
		defer w.slots.give()
		defer w.queue.Done(key)
		w.begin(ctx, key)
	})
	return true
}

// begin takes an object's turn, where it is time to and not too many wait for the
// same.
func (w *workers) begin(ctx context.Context, key object) {
	if wait := w.reactions.held(key); wait > 0 {
		w.queue.AddAfter(key, wait)
		return
	}
	lane := laneOf(w.objects.get(key))
	if !w.lanes.enter(lane, key) {
		return
	}
	if wait, again := w.turn(ctx, key); again {
		w.queue.AddAfter(key, wait)
	}
	for _, next := range w.lanes.leave(lane) {
		w.queue.Add(next)
	}
}

// turn decides on one object and tells whether it is to be decided on again, and
// after which time.
func (w *workers) turn(ctx context.Context, key object) (wait time.Duration, again bool) {
	defer func() {
		// One object must not stop the others.
		if p := recover(); p != nil {
			wait, again = w.period, true
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "A turn panicked", slog.String("hpa", key.String()),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	unit, ok := w.unit(key)
	if !ok {
		return 0, false
	}
	w.seen(unit)
	start := time.Now()
	v := &visit{}
	d, outcome, err := w.decide(ctx, v, unit)
	switch {
	case errors.Is(err, loop.ErrGone):
		w.drop(key)
		// Another object of the name may have come: the next turn sees it.
		return w.period, w.objects.get(key) != nil
	case err != nil:
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not take a turn", slog.String("hpa", key.String()), slog.Any("error", err))
	default:
		w.counted(d, outcome, time.Since(start))
		w.reactions.turned(key, w.periodOf(v.policy), d, outcome)
	}
	return w.until(v.policy, unit, start), true
}

// periodOf is the time between two turns of an object.
func (w *workers) periodOf(p *replicas.Policy) time.Duration {
	if p != nil && p.SyncPeriod > 0 {
		return p.SyncPeriod
	}
	return w.period
}

// until gives the time to an object's next turn: the period, or less where
// something changes by itself before. since is when the last turn began.
func (w *workers) until(p *replicas.Policy, unit decision.Unit, since time.Time) time.Duration {
	period := w.periodOf(p)
	change := replicas.NextChange(p, w.config, w.loop.State(unit), since)
	if change.IsZero() {
		return period
	}
	return min(period, max(0, time.Until(change)))
}

// unit gives the object of the key. One that is gone, or gave its name to
// another, is forgotten.
func (w *workers) unit(key object) (decision.Unit, bool) {
	hpa := w.objects.get(key)
	if hpa == nil {
		w.drop(key)
		return decision.Unit{}, false
	}
	unit := decision.Unit{Kind: key.kind, Namespace: key.Namespace, Name: key.Name, UID: string(hpa.UID)}
	w.mu.Lock()
	before, known := w.units[key]
	w.mu.Unlock()
	if known && before != unit {
		w.drop(key)
	}
	w.mu.Lock()
	w.units[key] = unit
	w.mu.Unlock()
	return unit, true
}

func (w *workers) drop(key object) {
	w.mu.Lock()
	unit, known := w.units[key]
	delete(w.units, key)
	w.mu.Unlock()
	if known {
		w.loop.Forget(unit)
		w.forget(key, unit)
	}
}
