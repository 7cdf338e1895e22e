package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/provider/kwok"
	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

const (
	// name is the binary's and its lease's.
	name = plan.Component
	// apiComponent names the group of the last decisions.
	apiComponent = "cluster"
)

type writer = ledger.Writer[nodepool.Snapshot, plan.State, plan.Decision]

// NewCommand makes the binary.
func NewCommand() *runtimeflags.Command {
	options := NewOptions()
	return component.NewCommand(component.Config{
		Name: name, Kind: runtimeflags.Acting, Options: options,
		Short:     "grows and shrinks node pools by what pods need",
		Decisions: decisionapi.StoreConfig{Component: apiComponent, Kind: plan.Kind, ClusterScoped: true},
		Build: func(ctx context.Context, frame *component.Frame) (component.Work, error) {
			c, err := build(ctx, frame, settings{flags: frame.Flags, options: options})
			if err != nil {
				return component.Work{}, err
			}
			return c.work(frame), nil
		},
	})
}

// settings are the parsed flags.
type settings struct {
	flags   *runtimeflags.Flags
	options *Options
}

// controller is what runs besides the server.
type controller struct {
	caches    *caches
	provider  *kwok.Provider
	scanner   *scanner
	publisher *publisher
	// ledger is nil without --ledger-dir.
	ledger *writer
}

func build(ctx context.Context, frame *component.Frame, s settings) (*controller, error) {
	core, err := kube.NewClient(frame.REST)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("know the types of NodePools: %w", err)
	}
	pools, err := client.New(frame.REST, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client for NodePools: %w", err)
	}
	metrics, err := newMetrics(telemetry.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	c := &controller{provider: kwok.New(core.CoreV1().Nodes(), clock.RealClock{})}
	if c.caches, err = newCaches(core); err != nil {
		return nil, err
	}
	c.publisher = &publisher{
		pools: &poolWriter{client: pools}, recorder: kube.NewRecorder(ctx, core, fieldManager),
		store: frame.Decisions, metrics: metrics, told: map[plan.Event]time.Time{},
	}
	if c.ledger, err = component.OpenLedger[nodepool.Snapshot, plan.State, plan.Decision](frame); err != nil {
		return nil, err
	}
	o := &observer{
		mode: string(s.flags.Mode), config: s.options.Rules,
		pools: pools, leases: core.CoordinationV1(), cluster: c.caches, provider: c.provider,
	}
	a := &actuator{core: core.CoreV1(), pools: c.publisher.pools, provider: c.provider, metrics: metrics}
	return c, c.assemble(ctx, s, o, a)
}

// assemble joins the parts to a loop that is turned by time and by pods.
func (c *controller) assemble(ctx context.Context, s settings, o *observer, a *actuator) error {
	config := loop.Config[nodepool.Snapshot, plan.State, plan.Decision]{
		Rules: plan.Rules(), Observer: o, Actuator: a, Publisher: c.publisher,
	}
	turning, err := component.NewLoop(ctx, config, c.ledger)
	if err != nil {
		return err
	}
	c.scanner = &scanner{
		interval: s.options.ScanInterval, clock: clock.RealClock{}, loop: turning,
		took: c.publisher.metrics.took, woken: make(chan struct{}, 1),
	}
	return c.caches.onUnschedulable(c.scanner.wake)
}

// listed are the caches that the work waits for.
func (c *controller) listed() component.Caches {
	return component.Caches{{Objects: "nodes, pods, budgets and namespaces", Synced: c.caches.synced}}
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !c.listed().Wait(ctx) {
		return nil
	}
	providing, stop := context.WithCancel(ctx)
	c.provider.Start(providing)
	err := c.scanner.run(ctx)
	stop()
	c.provider.Wait()
	return err
}

// work is what the frame runs. Its checks tell whether this replica could work, and
// what it leaves alone.
func (c *controller) work(frame *component.Frame) component.Work {
	return component.Work{
		Background: []func(context.Context){c.caches.run},
		Run:        c.lead,
		Checks: []health.Check{
			c.listed().Check(),
			frame.LeaderCheck(),
			{Name: "other-writers", Func: c.publisher.otherWriters},
		},
	}
}
