package controller

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

const (
	// name is the binary's and its lease's.
	name = replicas.Component
	// apiComponent names the group of the last decisions.
	apiComponent = "hpa"
)

// The default limits of requests let 10,000 objects have a turn each, that writes a
// status, within a sync period of 15 s. The API server's own fairness is what
// protects it.
const (
	apiQPS   = 1000
	apiBurst = 2000
)

// garbagePercent keeps the memory for 10,000 objects with five pods each well below
// what Go would let it grow to: nearly all of it is caches.
const garbagePercent = 40

type writer = ledger.Writer[replicas.Snapshot, replicas.State, replicas.Decision]

// NewCommand makes the binary.
func NewCommand() *runtimeflags.Command {
	options := NewOptions()
	c := component.NewCommand(component.Config{
		Name: name, Kind: runtimeflags.Acting, Options: options,
		Short:     "scales the targets of HorizontalPodAutoscalers by their metrics",
		Decisions: decisionapi.StoreConfig{Component: apiComponent, Kind: replicas.Kind},
		Build: func(ctx context.Context, frame *component.Frame) (component.Work, error) {
			c, err := build(ctx, frame, settings{flags: frame.Flags, options: options})
			if err != nil {
				return component.Work{}, err
			}
			return c.work(frame), nil
		},
	})
	c.Flags.KubeAPIQPS, c.Flags.KubeAPIBurst = apiQPS, apiBurst
	c.GarbagePercent = garbagePercent
	return c
}

// settings are the parsed flags.
type settings struct {
	flags   *runtimeflags.Flags
	options *Options
}

// controller is what runs besides the server.
type controller struct {
	objects   *objects
	pods      *kube.Pods
	targets   *kube.Targets
	verticals *verticals
	workers   *workers
	// policyStatuses shows what becomes of policies.
	policyStatuses *policyStatuses
	publisher      *publisher
	// reactions is nil where they are switched off.
	reactions *reactions
	// history is nil where nothing is kept.
	history *history
	// ledger is nil without --ledger-dir.
	ledger *writer
}

func build(ctx context.Context, frame *component.Frame, s settings) (*controller, error) {
	clients, err := connect(ctx, frame)
	if err != nil {
		return nil, err
	}
	c, err := prepare(clients)
	if err != nil {
		return nil, err
	}
	if c.reactions, err = newReactions(frame.REST, c.objects, s.options); err != nil {
		return nil, err
	}
	if c.history, err = newHistory(ctx, frame, s, clients.Registry); err != nil {
		return nil, err
	}
	c.history.doubt = c.targets.Doubt
	if c.ledger, err = component.OpenLedger[replicas.Snapshot, replicas.State, replicas.Decision](frame); err != nil {
		return nil, err
	}
	return c, c.assemble(ctx, s, c.observer(s, clients))
}

// assemble joins the parts to a loop with its workers.
func (c *controller) assemble(ctx context.Context, s settings, o *observer) error {
	config := loop.Config[replicas.Snapshot, replicas.State, replicas.Decision]{
		Rules: replicas.Rules(), Observer: o, Actuator: &actuator{scales: o.scales},
		Publisher: c.publisher, Keeper: c.history.keeper(),
	}
	turning, err := component.NewLoop(ctx, config, c.ledger)
	if err != nil {
		return err
	}
	o.asker = newAsker(o.metrics, s.options.Rules.SyncPeriod, c.publisher.metrics.asked)
	c.reactions.told(o.asker.changed)
	c.workers = &workers{
		count: s.options.ConcurrentSyncs, period: s.options.Rules.SyncPeriod, objects: c.objects, loop: turning,
		counted: c.publisher.metrics.turned, seen: c.publisher.metrics.seen, reactions: c.reactions,
		config: s.options.Rules,
		forget: func(key object, unit decision.Unit) {
			c.objects.policies.forget(key)
			c.reactions.forget(key)
			o.rivals.forget(key)
			c.publisher.forget(unit)
			if c.ledger != nil {
				c.ledger.Forget(unit)
			}
		},
	}
	return nil
}

// listed are the caches that the work waits for.
func (c *controller) listed() component.Caches {
	return component.Caches{
		{Objects: "HorizontalPodAutoscalers", Synced: c.objects.hpas.synced},
		{Objects: "HorizontalScalers", Synced: c.objects.scalers.synced},
		{Objects: "HorizontalScalingPolicies", Synced: c.objects.policies.synced},
		{Objects: "pods", Synced: c.pods.Synced},
		{Objects: "VerticalPodAutoscalers", Synced: c.verticals.synced},
		{Objects: "Deployments, StatefulSets and ReplicaSets", Synced: c.targets.Synced},
	}
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !c.listed().Wait(ctx) {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.history.lead(ctx, c.workers) })
	group.Go(func() error { return c.policyStatuses.run(ctx) })
	return group.Wait()
}

// work is what the frame runs. Its checks tell whether this replica could work, and
// what it leaves alone.
func (c *controller) work(frame *component.Frame) component.Work {
	return component.Work{
		Background: []func(context.Context){c.pods.Run, c.objects.run, c.targets.Run, c.verticals.run},
		Run:        c.lead,
		Checks: []health.Check{
			c.listed().Check(),
			frame.LeaderCheck(),
			{Name: "other-writers", Func: c.publisher.otherWriters},
			c.reactions.check(),
			c.history.check(),
			c.objects.scalers.check(),
			c.objects.policies.check(),
		},
	}
}
