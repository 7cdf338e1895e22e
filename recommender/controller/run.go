package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/utils/clock"

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
	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

const (
	// name is the binary's and its lease's.
	name = estimator.Component
	// apiComponent names the group of the last decisions.
	apiComponent = "recommender"
)

type writer = ledger.Writer[estimator.Snapshot, estimator.State, estimator.Decision]

// NewCommand makes the binary.
func NewCommand() *runtimeflags.Command {
	flags := runtimeflags.New(runtimeflags.Acting)
	port := serving.NewOptions()
	options := NewOptions()
	return &runtimeflags.Command{
		Name:    name,
		Short:   "learns what containers use and recommends requests in VerticalPodAutoscalers",
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
	store := decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: estimator.Kind, Leading: elector.Leading})
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
	c := &controller{settings: s, elector: elector}
	if err := c.build(ctx, config, store); err != nil {
		return err
	}
	if err := server.AddReadyChecks(c.checks()...); err != nil {
		return err
	}
	group.Go(func() error { c.pods.run(ctx); return nil })
	group.Go(func() error { c.vpas.run(ctx); return nil })
	group.Go(func() error { return elector.Run(ctx, c.lead) })
	return errors.Join(group.Wait(), c.close())
}

// controller is what runs besides the server.
type controller struct {
	settings
	elector   *leader.Elector
	clients   clients
	vpas      *vpaCache
	pods      *podCache
	passes    *passes
	publisher *publisher
	// ledger is nil without --ledger-dir.
	ledger *writer
}

// clients are the connections to the cluster.
type clients struct {
	typed   kubernetes.Interface
	vpas    vpaclient.Interface
	dynamic dynamic.Interface
	usage   resourceclient.PodMetricsesGetter
	scales  *kube.Scales
}

func connect(config *rest.Config) (clients, error) {
	var c clients
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = runtime.ContentTypeProtobuf
	protobuf.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	var err error
	if c.typed, err = kubernetes.NewForConfig(protobuf); err != nil {
		return c, fmt.Errorf("make a client: %w", err)
	}
	if c.vpas, err = vpaclient.NewForConfig(config); err != nil {
		return c, fmt.Errorf("make a client for VerticalPodAutoscalers: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return c, fmt.Errorf("make a client for targets: %w", err)
	}
	if c.usage, err = resourceclient.NewForConfig(config); err != nil {
		return c, fmt.Errorf("make a client for resource metrics: %w", err)
	}
	c.scales, err = kube.NewScales(config)
	return c, err
}

func (c *controller) build(ctx context.Context, config *rest.Config, store *decisionapi.Store) error {
	var err error
	if c.clients, err = connect(config); err != nil {
		return err
	}
	if c.vpas, err = newVPACache(c.clients.vpas, c.options); err != nil {
		return err
	}
	if c.pods, err = newPodCache(c.clients.typed, c.options.Namespace); err != nil {
		return err
	}
	metrics, err := newMetrics(telemetry.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	c.publisher = &publisher{
		status: &statusWriter{client: c.clients.vpas.AutoscalingV1()}, recorder: kube.NewRecorder(ctx, c.clients.typed, fieldManager),
		store: store, metrics: metrics, told: map[decision.Unit]map[estimator.Event]time.Time{}, others: map[decision.Unit]bool{},
	}
	if dir := c.flags.LedgerDir; dir != "" {
		c.ledger, err = ledger.Open[estimator.Snapshot, estimator.State, estimator.Decision](ledger.Config{
			Dir: dir, Component: name, Build: buildinfo.Get().String(),
		})
		if err != nil {
			return err
		}
	}
	return c.assemble(ctx)
}

// assemble joins the parts to a loop with its passes.
func (c *controller) assemble(ctx context.Context) error {
	rules := c.options.rules()
	history := &checkpoints{
		client: c.clients.vpas.AutoscalingV1(), timeout: c.options.CheckpointsTimeout, objects: map[owner]object{},
		schemes: checkpoint.Schemes{CPU: estimator.CPUScheme(rules.CPU.HalfLife), Memory: estimator.MemoryScheme(rules.Memory.HalfLife)},
	}
	acting := &actuator{status: c.publisher.status, checkpoints: history, config: rules}
	config := loop.Config[estimator.Snapshot, estimator.State, estimator.Decision]{
		Rules: estimator.Rules(), Actuator: acting, Publisher: c.publisher, Clock: clock.RealClock{},
		Observer: &observer{
			mode: string(c.flags.Mode), config: rules, vpas: c.vpas, pods: c.pods,
			targets: newTargets(ctx, c.clients.dynamic, c.clients.scales, c.options.Namespace),
		},
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
	acting.state = turning.State
	c.passes = &passes{
		vpas: c.vpas, loop: turning, checkpoints: history, options: c.options, acts: c.flags.Mode.Acts(),
		metrics: c.publisher.metrics, forget: c.publisher.forget,
		newPass: func() *pass {
			return &pass{
				usage:       newOnce(usageOf(c.clients.usage)),
				checkpoints: newOnce(history.list),
				twin:        newOnce(twinBy(c.clients.typed.CoordinationV1(), c.elector.Identity())),
			}
		},
	}
	return nil
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), c.vpas.synced, c.pods.synced) {
		return nil
	}
	return c.passes.run(ctx)
}

func (c *controller) close() error {
	if c.ledger == nil {
		return nil
	}
	return c.ledger.Close()
}

// checks tell whether this replica could work, and what it leaves alone.
func (c *controller) checks() []health.Check {
	return []health.Check{
		{Name: "caches", Func: func(context.Context) (string, error) {
			switch {
			case !c.vpas.synced():
				return "", errors.New("VerticalPodAutoscalers are not listed yet")
			case !c.pods.synced():
				return "", errors.New("pods are not listed yet")
			}
			return "", nil
		}},
		{Name: "leader", Func: func(context.Context) (string, error) {
			leading, holder := c.elector.Leading()
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
