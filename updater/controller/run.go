package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

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
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

const (
	// name is the binary's and its lease's.
	name = eviction.Component
	// apiComponent names the group of the last decisions.
	apiComponent = "updater"
)

type writer = ledger.Writer[eviction.Snapshot, eviction.State, eviction.Decision]

// NewCommand makes the binary.
func NewCommand() *runtimeflags.Command {
	s := settings{flags: runtimeflags.New(runtimeflags.Acting), port: serving.NewOptions(), options: NewOptions()}
	return &runtimeflags.Command{
		Name:    name,
		Short:   "evicts pods whose requests are not what their VerticalPodAutoscaler recommends",
		Flags:   s.flags,
		Options: []runtimeflags.Options{s.port, s.options},
		Run:     func(ctx context.Context) error { return run(ctx, s) },
	}
}

// settings are the parsed flags.
type settings struct {
	flags   *runtimeflags.Flags
	port    *serving.Options
	options *Options
}

// namespace is that of this binary's lease, and of the webhook's by default.
func (s settings) namespace() (string, error) {
	if n := s.flags.LeaderElectResourceNamespace; n != "" {
		return n, nil
	}
	return leader.PodNamespace()
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
	store := decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: eviction.Kind, Leading: elector.Leading})
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
	for _, fill := range []func(context.Context){c.vpas.Run, c.controllers.Run, c.limits.Run, c.pods.run} {
		group.Go(func() error { fill(ctx); return nil })
	}
	group.Go(func() error { return elector.Run(ctx, c.lead) })
	return errors.Join(group.Wait(), c.close())
}

// controller is what runs besides the server.
type controller struct {
	vpas        *vertical.Objects
	controllers *vertical.Controllers
	limits      *vertical.LimitRanges
	pods        *podCache
	leases      *leases
	passes      *passes
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
	vpas, err := vpaclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of VerticalPodAutoscalers: %w", err)
	}
	metrics, err := newMetrics(telemetry.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	c, err := newController(s, client, vpas)
	if err != nil {
		return nil, err
	}
	if dir := s.flags.LedgerDir; dir != "" {
		c.ledger, err = ledger.Open[eviction.Snapshot, eviction.State, eviction.Decision](ledger.Config{
			Dir: dir, Component: name, Build: buildinfo.Get().String(),
		})
		if err != nil {
			return nil, err
		}
	}
	shown := &publisher{recorder: kube.NewRecorder(ctx, client, name), store: store, metrics: metrics}
	return c, c.assemble(ctx, s, newActuator(client.CoreV1().RESTClient(), s.options), shown)
}

// newController makes the caches.
func newController(s settings, client kubernetes.Interface, vpas vpaclient.Interface) (*controller, error) {
	namespace, err := s.namespace()
	if err != nil {
		return nil, err
	}
	admission := types.NamespacedName{Namespace: s.options.LeaseNamespace, Name: s.options.LeaseName}
	if admission.Namespace == "" {
		admission.Namespace = namespace
	}
	c := &controller{
		limits: vertical.NewLimitRanges(client),
		leases: &leases{client: client.CoordinationV1(), admission: admission, own: types.NamespacedName{Namespace: namespace, Name: name}},
	}
	if c.vpas, err = vertical.NewObjects(vpas); err != nil {
		return nil, err
	}
	if c.controllers, err = vertical.NewControllers(client, true); err != nil {
		return nil, err
	}
	c.pods, err = newPodCache(client)
	return c, err
}

// assemble joins the parts to a loop with its passes.
func (c *controller) assemble(ctx context.Context, s settings, act *actuator, shown *publisher) error {
	config := loop.Config[eviction.Snapshot, eviction.State, eviction.Decision]{
		Rules: eviction.Rules(), Actuator: act, Publisher: shown, Clock: clock.RealClock{},
		Observer: &observer{
			mode: string(s.flags.Mode), config: s.options.Rules,
			vpas: c.vpas, controllers: c.controllers, limits: c.limits, pods: c.pods, leases: c.leases,
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
	c.passes = &passes{
		interval: s.options.Interval, clock: clock.RealClock{}, vpas: c.vpas, loop: turning,
		metrics: shown.metrics, forget: shown.forget,
	}
	return nil
}

// synced tells whether all caches are filled.
func (c *controller) synced() error {
	for _, filled := range []struct {
		what   string
		synced func() bool
	}{
		{"VerticalPodAutoscalers", c.vpas.Synced},
		{"pods", c.pods.synced},
		{"ReplicaSets and other controllers", c.controllers.Synced},
		{"LimitRanges", c.limits.Synced},
	} {
		if !filled.synced() {
			return errors.New(filled.what + " are not listed yet")
		}
	}
	return nil
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), func() bool { return c.synced() == nil }) {
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

// checks tell whether this replica could work, and what it waits for.
func (c *controller) checks(elector *leader.Elector) []health.Check {
	return []health.Check{
		{Name: "caches", Func: func(context.Context) (string, error) { return "", c.synced() }},
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
		{Name: "other-writers", Func: c.leases.otherWriters},
		{Name: "admission", Func: c.leases.admissionDetail},
	}
}
