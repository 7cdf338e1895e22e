package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/provider/kwok"
	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
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
	flags := runtimeflags.New(runtimeflags.Acting)
	port := serving.NewOptions()
	options := NewOptions()
	return &runtimeflags.Command{
		Name:    name,
		Short:   "grows and shrinks node pools by what pods need",
		Flags:   flags,
		Options: []runtimeflags.Options{port, options},
		Run: func(ctx context.Context) error {
			return run(ctx, settings{flags: flags, port: port, options: options})
		},
	}
}

// settings are the parsed flags.
type settings struct {
	flags   *runtimeflags.Flags
	port    *serving.Options
	options *Options
}

func run(ctx context.Context, s settings) error {
	config, err := s.flags.RESTConfig(name)
	if err != nil {
		return err
	}
	elector, err := leader.New(leader.Config{
		Disabled: !s.flags.LeaderElect || !s.flags.Mode.Decides(), REST: config,
		Name: name, Namespace: s.flags.LeaderElectResourceNamespace,
	})
	if err != nil {
		return err
	}
	store := decisionapi.NewStore(decisionapi.StoreConfig{
		Component: apiComponent, Kind: plan.Kind, ClusterScoped: true, Leading: elector.Leading,
	})
	server, err := serving.New(serving.Config{Name: name, Options: s.port, Kubeconfig: s.flags.Kubeconfig})
	if err != nil {
		return err
	}
	if err := decisionapi.InstallGroup(server, decisionapi.GroupName(apiComponent), store); err != nil {
		return fmt.Errorf("serve decisions: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	if !s.flags.Mode.Decides() {
		return group.Wait()
	}
	c, err := build(ctx, s, config, store)
	if err != nil {
		return err
	}
	if err := server.AddReadyChecks(c.checks(elector)...); err != nil {
		return err
	}
	group.Go(func() error { c.caches.run(ctx); return nil })
	group.Go(func() error { return elector.Run(ctx, c.lead) })
	return errors.Join(group.Wait(), c.close())
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

func build(ctx context.Context, s settings, config *rest.Config, store *decisionapi.Store) (*controller, error) {
	typed := rest.CopyConfig(config)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	core, err := kubernetes.NewForConfig(typed)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("know the types of NodePools: %w", err)
	}
	pools, err := client.New(config, client.Options{Scheme: scheme})
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
		store: store, metrics: metrics, told: map[plan.Event]time.Time{},
	}
	if dir := s.flags.LedgerDir; dir != "" {
		c.ledger, err = ledger.Open[nodepool.Snapshot, plan.State, plan.Decision](ledger.Config{
			Dir: dir, Component: name, Build: buildinfo.Get().String(),
		})
		if err != nil {
			return nil, err
		}
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
		Rules: plan.Rules(), Observer: o, Actuator: a, Publisher: c.publisher, Clock: clock.RealClock{},
		OnRecordError: func(err error) {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not record", slog.Any("error", err))
		},
	}
	if c.ledger != nil {
		config.Recorder = c.ledger
	}
	turning, err := loop.New(config)
	if err != nil {
		return err
	}
	c.scanner = &scanner{
		interval: s.options.ScanInterval, clock: clock.RealClock{}, loop: turning,
		took: c.publisher.metrics.took, woken: make(chan struct{}, 1),
	}
	return c.caches.onUnschedulable(c.scanner.wake)
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), c.caches.synced) {
		return nil
	}
	providing, stop := context.WithCancel(ctx)
	c.provider.Start(providing)
	err := c.scanner.run(ctx)
	stop()
	c.provider.Wait()
	return err
}

func (c *controller) close() error {
	if c.ledger == nil {
		return nil
	}
	return c.ledger.Close()
}

// checks tell whether this replica could work, and what it leaves alone.
func (c *controller) checks(elector *leader.Elector) []health.Check {
	return []health.Check{
		{Name: "caches", Func: func(context.Context) (string, error) {
			if !c.caches.synced() {
				return "", errors.New("nodes, pods, budgets and namespaces are not listed yet")
			}
			return "", nil
		}},
		{Name: "leader", Func: func(context.Context) (string, error) {
			leading, holder := elector.Leading()
			switch {
			case leading:
				return "this replica leads", nil
			case holder != "":
				return holder + " leads", nil
			}
			return "nobody was seen to lead", nil
		}},
		{Name: "other-writers", Func: c.publisher.otherWriters},
	}
}
