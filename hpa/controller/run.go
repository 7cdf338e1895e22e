package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decision"
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
	name = replicas.Component
	// apiComponent names the group of the last decisions.
	apiComponent = "hpa"
)

type writer = ledger.Writer[replicas.Snapshot, replicas.State, replicas.Decision]

// NewCommand makes the binary.
func NewCommand() *runtimeflags.Command {
	flags := runtimeflags.New(runtimeflags.Acting)
	port := serving.NewOptions()
	options := NewOptions()
	return &runtimeflags.Command{
		Name:    name,
		Short:   "scales the targets of HorizontalPodAutoscalers by their metrics",
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
	store := decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: replicas.Kind, Leading: elector.Leading})
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
	group.Go(func() error { c.pods.Run(ctx); return nil })
	group.Go(func() error { c.hpas.run(ctx); return nil })
	group.Go(func() error { return elector.Run(ctx, c.lead) })
	return errors.Join(group.Wait(), c.close())
}

// controller is what runs besides the server.
type controller struct {
	hpas      *hpaCache
	pods      *kube.Pods
	workers   *workers
	publisher *publisher
	// ledger is nil without --ledger-dir.
	ledger *writer
}

func build(ctx context.Context, s settings, config *rest.Config, store *decisionapi.Store) (*controller, error) {
	typed := rest.CopyConfig(config)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(typed)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	c := &controller{}
	if c.hpas, err = newHPACache(client); err != nil {
		return nil, err
	}
	if c.pods, err = kube.NewPods(client); err != nil {
		return nil, err
	}
	scales, err := kube.NewScales(config)
	if err != nil {
		return nil, err
	}
	sampler, err := newSampler(config, scales.Mapper())
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(telemetry.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	c.publisher = newPublisher(outlets{
		hpas: client.AutoscalingV2(), recorder: kube.NewRecorder(ctx, client, fieldManager),
		store: store, metrics: metrics,
	})
	if dir := s.flags.LedgerDir; dir != "" {
		c.ledger, err = ledger.Open[replicas.Snapshot, replicas.State, replicas.Decision](ledger.Config{
			Dir: dir, Component: name, Build: buildinfo.Get().String(),
		})
		if err != nil {
			return nil, err
		}
	}
	return c, c.assemble(ctx, s, &observer{
		mode: string(s.flags.Mode), config: s.options.Rules,
		hpas: c.hpas.get, pods: c.pods, scales: scales, metrics: sampler, rivals: newRivals(),
	})
}

// assemble joins the parts to a loop with its workers.
func (c *controller) assemble(ctx context.Context, s settings, o *observer) error {
	config := loop.Config[replicas.Snapshot, replicas.State, replicas.Decision]{
		Rules: replicas.Rules(), Observer: o, Actuator: &actuator{scales: o.scales},
		Publisher: c.publisher, Clock: clock.RealClock{},
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
	c.workers = &workers{
		count: s.options.ConcurrentSyncs, period: s.options.Rules.SyncPeriod, hpas: c.hpas, loop: turning,
		counted: c.publisher.metrics.turned, seen: c.publisher.metrics.seen,
		forget: func(key types.NamespacedName, unit decision.Unit) {
			o.rivals.forget(key)
			c.publisher.forget(unit)
			if c.ledger != nil {
				c.ledger.Forget(unit)
			}
		},
	}
	return nil
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), c.hpas.synced, c.pods.Synced) {
		return nil
	}
	return c.workers.run(ctx)
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
			switch {
			case !c.hpas.synced():
				return "", errors.New("HorizontalPodAutoscalers are not listed yet")
			case !c.pods.Synced():
				return "", errors.New("pods are not listed yet")
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
