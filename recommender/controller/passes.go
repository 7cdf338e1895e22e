package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// gather is the time between passes over objects that changed or whose pods were
// killed.
const gather = time.Second

// passes turn all objects once an interval, and an object at once when it
// appears or its spec changes.
type passes struct {
	vpas      *vpaCache
	policies  *policies.Cache
	targets   *targets
	loop      *turns
	histories *histories
	// bounds is nil where each change of bounds is written at once.
	bounds  *boundsWriter
	options *Options
	// acts tells whether checkpoints of VPAs that are gone may be removed.
	acts    bool
	metrics *metrics
	newPass func() *pass
	forget  func(decision.Unit)
	// past is nil where history is in checkpoints.
	past *past

	// departed tells that an object went since checkpoints were last looked at.
	departed atomic.Bool

	mu sync.Mutex
	// units are the objects that have had a turn.
	units map[types.NamespacedName]decision.Unit
	// changed are to have a turn before the next pass, and woken tells of it.
	changed map[types.NamespacedName]bool
	woken   chan struct{}
	// killed are pods of which a container was killed for memory since.
	killed []*podRecord
}

// run makes passes until the context ends and the running turns have.
func (p *passes) run(ctx context.Context) error {
	p.mu.Lock()
	p.changed, p.woken = map[types.NamespacedName]bool{}, make(chan struct{}, 1)
	p.mu.Unlock()
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
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { p.histories.queue.run(ctx, turning) })
	if p.bounds != nil {
		beside.Go(func() { p.bounds.queue.run(ctx, turning) })
	}
	beside.Go(func() { p.cleaning(ctx) })
	every := time.NewTicker(p.options.Interval)
	defer every.Stop()
	p.pass(ctx, turning, p.all())
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			p.pass(ctx, turning, p.all())
		case <-p.woken:
			// What comes at once is answered together.
			if early := time.Until(last.Add(gather)); early > 0 {
				time.AfterFunc(early, p.alarm)
				continue
			}
			p.pass(ctx, turning, p.awaited(ctx))
			last = time.Now()
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
	p.alarm()
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

// awaited takes the objects that changed, and those whose pods were killed.
func (p *passes) awaited(ctx context.Context) []types.NamespacedName {
	struck := p.struck(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range struck {
		p.changed[key] = true
	}
	keys := make([]types.NamespacedName, 0, len(p.changed))
	for key := range p.changed {
		keys = append(keys, key)
	}
	clear(p.changed)
	slices.SortFunc(keys, compareNames)
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
	// Namespace by namespace, so that what is asked for once is used up soon.
	slices.SortFunc(keys, compareNames)
	return keys
}

// manyNamespaces is more questions for usage than one for all pods is worth.
const manyNamespaces = 8

// namespaces counts those of keys in order.
func namespaces(keys []types.NamespacedName) int {
	n := 0
	for i := range keys {
		if i == 0 || keys[i].Namespace != keys[i-1].Namespace {
			n++
		}
	}
	return n
}

// pass turns the objects, several at a time, and begins none once ctx has ended.
func (p *passes) pass(ctx, turning context.Context, keys []types.NamespacedName) {
	start := time.Now()
	shared := p.newPass()
	p.mu.Lock()
	shared.first = len(p.units) == 0 && namespaces(keys) > manyNamespaces
	p.mu.Unlock()
	shared.wide = p.options.Namespace == "" && namespaces(keys) > manyNamespaces
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
	p.metrics.waits("checkpoints", p.histories.queue.count())
	if p.bounds != nil {
		p.metrics.waits("bounds", p.bounds.queue.count())
	}
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
	v := &visit{pass: shared}
	if waiting := (*fetching)(nil); errors.As(err, &waiting) {
		ok, err, v.fetching = true, nil, waiting.text
	}
	if err == nil && ok {
		_, _, err = p.loop.Turn(withVisit(ctx, v), unit)
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
	if err := p.restore(ctx, unit, shared); err != nil {
		return unit, false, err
	}
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
		p.departed.Store(true)
		p.loop.Forget(unit)
		p.forget(unit)
	}
}

// cleaning cleans up checkpoints now and then. Where no VPA has gone, there is
// nothing to clean up, and it looks only once in a while.
func (p *passes) cleaning(ctx context.Context) {
	every := time.NewTicker(p.options.GCInterval)
	defer every.Stop()
	const seldom = 6
	waiting := 0
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if p.departed.Swap(false) || waiting > 0 || round%seldom == 0 {
			waiting = p.clean(ctx, time.Now())
		}
	}
}

// clean removes checkpoints of VPAs that are gone for long, unless another
// recommender is at work, and tells how many are to be looked at again.
func (p *passes) clean(ctx context.Context, now time.Time) (waiting int) {
	if !p.acts {
		return 0
	}
	if twin, err := p.newPass().twin.get(ctx, ""); err != nil || twin != nil {
		return 1
	}
	c := &cleaner{
		checkpoints: p.histories.checkpoints, namespace: p.options.Namespace, grace: p.options.Pacing.GCGrace,
		limit: p.histories.queue.limit,
		gone: func(namespace, vpa string) bool {
			return p.vpas.any(namespace, vpa) == nil && !slices.Contains(p.options.Ignored, namespace)
		},
	}
	waiting, err := c.clean(ctx, now)
	if err != nil && ctx.Err() == nil {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not clean up checkpoints", slog.Any("error", err))
		waiting++
	}
	return waiting
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
