package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Config is what a Controller is made of.
type Config struct {
	// Objects reads MetricSources and ClusterMetricSources from a cache that has
	// the index of IndexMetricNames.
	Objects client.Reader
	// Secrets reads Secrets from the API server.
	Secrets client.Reader
	// OwnNamespace is the adapter's own, where the Secrets of ClusterMetricSources
	// are; empty: they can have none.
	OwnNamespace string
	// Status writes the status of objects.
	Status client.StatusClient
	// Events hears of transitions; nil for none.
	Events EventRecorder
	// Builders are the kinds of sources that are served.
	Builders []source.Builder
	Table    *table.Table
	// Last keeps each object's last decision for those who ask; nil keeps none.
	Last *decisionapi.Store
	// Recorder may be nil.
	Recorder loop.Recorder[query.Snapshot, query.State, query.Decision]
	// PollObserver hears of polls; it may be nil.
	PollObserver collector.Observer
	// Sharing shares polls out between replicas; nil where there is one only.
	Sharing collector.Sharing
	// OtherAdapter names the adapter that the cluster asks in our place, empty for
	// none; it may be nil. EnqueueAll is to be called when its answer changes.
	OtherAdapter func() string
	// OtherCustomAdapter is the same for custom metrics.
	OtherCustomAdapter func() string
	Mode               query.Mode
	Clock              clock.WithDelayedExecution
	Log                *slog.Logger
}

func (c Config) validate() error {
	switch {
	case c.Objects == nil || c.Secrets == nil || c.Status == nil:
		return errors.New("controller: Objects, Secrets and Status are required")
	case c.Table == nil || c.Clock == nil || c.Log == nil:
		return errors.New("controller: Table, Clock and Log are required")
	case len(c.Builders) == 0:
		return errors.New("controller: at least one of Builders is required")
	}
	return nil
}

// workers is how many turns run at the same time. A turn computes and waits for
// nothing but, now and then, a Secret.
const workers = 4

// Controller runs the adapter's loop.
type Controller struct {
	cfg        Config
	collector  *collector.Collector
	loop       *loop.Loop[query.Snapshot, query.State, query.Decision]
	sources    *sources
	namespaces *Namespaces
	status     *statusWriter
	queue      workqueue.TypedDelayingInterface[types.NamespacedName]

	// warm is set once all objects of the start were decided on and polled.
	warm atomic.Bool

	mu sync.Mutex
	// units are the objects being served, by name.
	units map[types.NamespacedName]decision.Unit
	// last is each object's last decision.
	last map[types.NamespacedName]*query.Decision
	// starting are the objects of the start that had no turn yet, nil before it.
	starting map[types.NamespacedName]bool
	// complained is when a ledger's failure was last logged.
	complained time.Time
}

// New makes a Controller that does nothing until Start.
func New(cfg Config) (*Controller, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Controller{
		cfg: cfg,
		queue: workqueue.NewTypedDelayingQueueWithConfig(
			workqueue.TypedDelayingQueueConfig[types.NamespacedName]{Name: "metricsource", Clock: realOr(cfg.Clock)}),
		namespaces: &Namespaces{labels: map[string]labels.Set{}},
		units:      map[types.NamespacedName]decision.Unit{},
		last:       map[types.NamespacedName]*query.Decision{},
	}
	var err error
	if c.collector, err = collector.New(collector.Config{
		Clock: cfg.Clock, Observer: cfg.PollObserver, Notify: c.notify, Sharing: cfg.Sharing,
	}); err != nil {
		return nil, err
	}
	cfg.Table.Choose(c.namespaces)
	c.sources = newSources(cfg, c.collector, c.namespaces)
	c.status = newStatusWriter(cfg)
	loopConfig := loop.Config[query.Snapshot, query.State, query.Decision]{
		Rules: query.Rules, Observer: c.sources, Actuator: publisher{cfg.Table}, Publisher: c,
		Clock: cfg.Clock, OnRecordError: c.ledgerFailed,
	}
	if cfg.Recorder != nil {
		loopConfig.Recorder = cfg.Recorder
	}
	if c.loop, err = loop.New(loopConfig); err != nil {
		return nil, err
	}
	return c, nil
}

// realOr gives the queue a clock with tickers; only the real one has them all.
func realOr(c clock.WithDelayedExecution) clock.WithTicker {
	if t, ok := c.(clock.WithTicker); ok {
		return t
	}
	return clock.RealClock{}
}

// publisher acts: it puts what was decided into the serving table.
type publisher struct{ table *table.Table }

func (p publisher) Act(_ context.Context, d query.Decision) decision.Outcome {
	p.table.Put(d.Unit, d.Served)
	return decision.Outcome{Result: decision.Succeeded}
}

// Namespaces are what ClusterMetricSources choose from by labels.
func (c *Controller) Namespaces() *Namespaces { return c.namespaces }

// notify has a turn run for a subscriber of the collector.
func (c *Controller) notify(id string) { c.queue.Add(keyOf(id)) }

// Deliver takes what another replica's poll gave.
func (c *Controller) Deliver(key string, s collector.Shared) { c.collector.Deliver(key, s) }

// Reassign has queries looked at again whose polls may have come to this replica.
func (c *Controller) Reassign() { c.collector.Reassign() }

// Enqueue has a turn run for an object that was added, changed or deleted.
func (c *Controller) Enqueue(key types.NamespacedName) { c.queue.Add(key) }

// EnqueueAll has a turn run for every object that is being served.
func (c *Controller) EnqueueAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.units {
		c.queue.Add(key)
	}
}

// Run works until the context ends. Present are the objects of the start, which
// readiness waits for.
func (c *Controller) Run(ctx context.Context, present []types.NamespacedName) error {
	c.mu.Lock()
	c.starting = map[types.NamespacedName]bool{}
	for _, key := range present {
		c.starting[key] = true
	}
	c.mu.Unlock()
	for _, key := range present {
		c.queue.Add(key)
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() { c.work(ctx) })
	}
	<-ctx.Done()
	c.collector.Close()
	c.queue.ShutDown()
	c.status.queue.ShutDown()
	running.Wait()
	return nil
}

// RunStatus writes status and events until the context ends. It is run by the
// leader.
func (c *Controller) RunStatus(ctx context.Context) error { return c.status.run(ctx) }

func (c *Controller) work(ctx context.Context) {
	for {
		key, shutdown := c.queue.Get()
		if shutdown {
			return
		}
		if ctx.Err() == nil {
			c.turn(ctx, key)
		}
		c.queue.Done(key)
	}
}

// turn decides on one object, or forgets one that is gone.
func (c *Controller) turn(ctx context.Context, key types.NamespacedName) {
	unit, found, err := c.sources.unit(ctx, key)
	if err != nil {
		c.cfg.Log.Error("Could not read a MetricSource from the cache", "metricsource", nameOf(key), "error", err)
		c.queue.AddAfter(key, time.Second)
		return
	}
	c.mu.Lock()
	before, known := c.units[key]
	c.mu.Unlock()
	if known && (!found || before != unit) {
		c.forget(key, before)
	}
	if found {
		c.decide(ctx, key, unit)
	}
	c.mu.Lock()
	delete(c.starting, key)
	c.mu.Unlock()
}

func (c *Controller) decide(ctx context.Context, key types.NamespacedName, unit decision.Unit) {
	c.mu.Lock()
	c.units[key] = unit
	c.mu.Unlock()
	d, _, err := c.loop.Turn(ctx, unit)
	switch {
	case errors.Is(err, loop.ErrGone):
		c.forget(key, unit)
		// Its namesake, if there is one, has an event of its own on the way.
		return
	case err != nil:
		c.cfg.Log.Error("Could not observe a MetricSource", "metricsource", nameOf(key), "error", err)
		c.queue.AddAfter(key, time.Second)
		return
	}
	if !d.RecheckAt.IsZero() {
		c.queue.AddAfter(key, d.RecheckAt.Sub(c.cfg.Clock.Now()))
	}
	if after, again := c.sources.refreshAfter(key); again {
		c.queue.AddAfter(key, after)
	}
}

// forget drops all that is held of an object that no longer exists.
func (c *Controller) forget(key types.NamespacedName, unit decision.Unit) {
	c.sources.forget(key)
	c.cfg.Table.Delete(unit)
	c.loop.Forget(unit)
	c.status.forget(key)
	c.mu.Lock()
	delete(c.units, key)
	delete(c.last, key)
	c.mu.Unlock()
	if c.cfg.Last != nil {
		c.cfg.Last.Forget(unit)
	}
	c.cfg.Log.Info("Stopped serving a "+unit.Kind, "metricsource", nameOf(key))
}

// Publish shows a decision: to those who ask for the last one, in the log where
// the reason changed, and in status and events where this replica leads. It is
// the loop's Publisher.
func (c *Controller) Publish(_ context.Context, decided query.Decision, o decision.Outcome) {
	d := &decided // one for all who hold it: there may be thousands
	if c.cfg.Last != nil {
		c.cfg.Last.Put(d.Unit, func() decisionapi.Decision { return explained(*d, o) })
	}
	key := keyOfUnit(d.Unit)
	c.mu.Lock()
	before, had := c.last[key]
	c.last[key] = d
	c.mu.Unlock()
	if !had || before.Reason != d.Reason {
		c.cfg.Log.Info(d.Unit.Kind+" changed", "metricsource", nameOf(key), "reason", d.Reason, "message", d.Message)
	}
	c.status.want(key, d)
}

// ledgerFailed logs a ledger's failure, once a minute at the most.
func (c *Controller) ledgerFailed(err error) {
	now := c.cfg.Clock.Now()
	c.mu.Lock()
	quiet := !c.complained.IsZero() && now.Sub(c.complained) < time.Minute
	if !quiet {
		c.complained = now
	}
	c.mu.Unlock()
	if !quiet {
		c.cfg.Log.Error("The ledger could not take a decision", "error", fmt.Sprint(err))
	}
}
