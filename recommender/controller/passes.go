package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// grace is how long a turn that runs when the work ends may go on: long enough
// to finish a write, shorter than the time until another replica may lead.
const grace = 3 * time.Second

type turns = loop.Loop[estimator.Snapshot, estimator.State, estimator.Decision]

// passes turn all objects once an interval, and an object at once when it
// appears or its spec changes.
type passes struct {
	vpas        *vpaCache
	policies    *policies.Cache
	loop        *turns
	checkpoints *checkpoints
	options     *Options
	// acts tells whether checkpoints of VPAs that are gone may be removed.
	acts    bool
	metrics *metrics
	newPass func() *pass
	forget  func(decision.Unit)

	mu sync.Mutex
	// units are the objects that have had a turn.
	units map[types.NamespacedName]decision.Unit
	// changed are to have a turn before the next pass, and woken tells of it.
	changed map[types.NamespacedName]bool
	woken   chan struct{}
}

// run makes passes until the context ends and the running turns have.
func (p *passes) run(ctx context.Context) error {
	p.units, p.changed, p.woken = map[types.NamespacedName]decision.Unit{}, map[types.NamespacedName]bool{}, make(chan struct{}, 1)
	registration, err := p.vpas.informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if !initial {
				p.wake(o)
			}
		},
		UpdateFunc: p.wakeChanged,
	})
	if err != nil {
		return fmt.Errorf("watch VerticalPodAutoscalers: %w", err)
	}
	defer func() { _ = p.vpas.informer.RemoveEventHandler(registration) }()
	stop, err := p.policies.Watch(p.wakeKey)
	if err != nil {
		return err
	}
	defer stop()

	turning, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	every := time.NewTicker(p.options.Interval)
	defer every.Stop()
	clean := time.NewTicker(p.options.GCInterval)
	defer clean.Stop()
	p.pass(ctx, turning, p.all())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			p.pass(ctx, turning, p.all())
		case <-p.woken:
			p.pass(ctx, turning, p.awaited())
		case <-clean.C:
			p.clean(ctx)
		}
	}
}

func (p *passes) wake(o any) {
	vpa, ok := o.(*vpav1.VerticalPodAutoscaler)
	if !ok {
		return
	}
	p.wakeKey(types.NamespacedName{Namespace: vpa.Namespace, Name: vpa.Name})
}

// wakeKey has an object turned before the next pass.
func (p *passes) wakeKey(key types.NamespacedName) {
	p.mu.Lock()
	p.changed[key] = true
	p.mu.Unlock()
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// wakeChanged wakes for an object whose spec was edited. Our own writes of its
// status are no reason to.
func (p *passes) wakeChanged(before, after any) {
	was, okBefore := before.(*vpav1.VerticalPodAutoscaler)
	is, okAfter := after.(*vpav1.VerticalPodAutoscaler)
	if okBefore && okAfter && (was.UID != is.UID || !equality.Semantic.DeepEqual(was.Spec, is.Spec)) {
		p.wake(is)
	}
}

// awaited takes the objects that changed.
func (p *passes) awaited() []types.NamespacedName {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := make([]types.NamespacedName, 0, len(p.changed))
	for key := range p.changed {
		keys = append(keys, key)
	}
	clear(p.changed)
	return keys
}

// all are the objects to serve and those that were and are no more.
func (p *passes) all() []types.NamespacedName {
	seen := map[types.NamespacedName]bool{}
	for _, vpa := range p.vpas.all() {
		seen[types.NamespacedName{Namespace: vpa.Namespace, Name: vpa.Name}] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.units {
		seen[key] = true
	}
	keys := make([]types.NamespacedName, 0, len(seen))
	for key := range seen {
		keys = append(keys, key)
	}
	return keys
}

// pass turns the objects, several at a time, and begins none once ctx has ended.
func (p *passes) pass(ctx, turning context.Context, keys []types.NamespacedName) {
	start := time.Now()
	shared := p.newPass()
	var working errgroup.Group
	working.SetLimit(p.options.Workers)
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		working.Go(func() error {
			p.turn(turning, key, shared)
			return nil
		})
	}
	_ = working.Wait()
	p.metrics.passed(time.Since(start))
}

// turn decides on one object.
func (p *passes) turn(ctx context.Context, key types.NamespacedName, shared *pass) {
	defer func() {
		// One object must not stop the others.
		if e := recover(); e != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "A turn panicked", slog.String("vpa", key.String()),
				slog.Any("panic", e), slog.String("stack", string(debug.Stack())))
		}
	}()
	unit, ok, err := p.unit(ctx, key, shared)
	if err == nil && ok {
		_, _, err = p.loop.Turn(withVisit(ctx, &visit{pass: shared}), unit)
	}
	switch {
	case errors.Is(err, loop.ErrGone):
		p.drop(key)
	case err != nil:
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not observe", slog.String("vpa", key.String()), slog.Any("error", err))
	}
}

// unit gives the object of the key, with its history in place. One that is gone,
// or gave its name to another, is forgotten. Without the history nothing is
// decided: it would be overwritten.
func (p *passes) unit(ctx context.Context, key types.NamespacedName, shared *pass) (decision.Unit, bool, error) {
	vpa := p.vpas.get(key.Namespace, key.Name)
	if vpa == nil {
		p.drop(key)
		return decision.Unit{}, false, nil
	}
	unit := decision.Unit{Kind: estimator.Kind, Namespace: key.Namespace, Name: key.Name, UID: string(vpa.UID)}
	p.mu.Lock()
	before, known := p.units[key]
	p.mu.Unlock()
	if known && before == unit {
		return unit, true, nil
	}
	p.drop(key)
	found, err := shared.checkpoints.get(ctx, key.Namespace)
	if err != nil {
		return unit, false, fmt.Errorf("read the history: %w", err)
	}
	p.loop.Restore(unit, p.checkpoints.read(ctx, unit, found))
	p.mu.Lock()
	p.units[key] = unit
	p.mu.Unlock()
	return unit, true, nil
}

func (p *passes) drop(key types.NamespacedName) {
	p.mu.Lock()
	unit, known := p.units[key]
	delete(p.units, key)
	p.mu.Unlock()
	if known {
		p.loop.Forget(unit)
		p.checkpoints.forget(key)
		p.forget(unit)
	}
}

// clean removes checkpoints of VPAs that are gone, unless another recommender
// is at work.
func (p *passes) clean(ctx context.Context) {
	if !p.acts {
		return
	}
	if twin, err := p.newPass().twin.get(ctx, ""); err != nil || twin != nil {
		return
	}
	err := p.checkpoints.clean(ctx, p.options.Namespace, func(namespace, vpa string) bool {
		return p.vpas.any(namespace, vpa) == nil
	})
	if err != nil {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not clean up checkpoints", slog.Any("error", err))
	}
}
