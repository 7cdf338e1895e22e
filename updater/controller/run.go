package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
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
	options := NewOptions()
	return component.NewCommand(component.Config{
		Name: name, Kind: runtimeflags.Acting, Options: options,
		Short:     "resizes or evicts pods whose requests are not what their VerticalPodAutoscaler recommends",
		Decisions: decisionapi.StoreConfig{Component: apiComponent, Kind: eviction.Kind},
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

// namespace is that of this binary's lease, and of the webhook's by default.
func (s settings) namespace() (string, error) {
	if n := s.flags.LeaderElectResourceNamespace; n != "" {
		return n, nil
	}
	return leader.PodNamespace()
}

// controller is what runs besides the server.
type controller struct {
	vpas        *vertical.Objects
	controllers *vertical.Controllers
	limits      *vertical.LimitRanges
	pods        *podCache
	leases      *leases
	policies    *policies.Cache
	refusals    *refusals
	// usage is nil where decisions do not go by it.
	usage  *usage
	kind   kindness
	passes *passes
	// ledger is nil without --ledger-dir.
	ledger *writer
}

func build(ctx context.Context, frame *component.Frame, s settings) (*controller, error) {
	client, err := kube.NewClient(frame.REST)
	if err != nil {
		return nil, err
	}
	vpas, err := vpaclient.NewForConfig(frame.REST)
	if err != nil {
		return nil, fmt.Errorf("make a client of VerticalPodAutoscalers: %w", err)
	}
	own, err := policies.NewClient(frame.REST)
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(telemetry.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	c, err := newController(s, client, vpas)
	if err != nil {
		return nil, err
	}
	if c.policies, err = policies.New(own); err != nil {
		return nil, err
	}
	if s.options.MemoryDecrease == memoryByUsage {
		client, err := metricsclient.NewForConfig(frame.REST)
		if err != nil {
			return nil, fmt.Errorf("make a client of metrics.k8s.io: %w", err)
		}
		c.usage = newUsage(client)
	}
	if err := c.kind.watchPools(own); err != nil {
		return nil, err
	}
	if c.ledger, err = component.OpenLedger[eviction.Snapshot, eviction.State, eviction.Decision](frame); err != nil {
		return nil, err
	}
	shown := &publisher{recorder: kube.NewRecorder(ctx, client, name), store: frame.Decisions, metrics: metrics}
	return c, c.assemble(ctx, s, newActuator(client.CoreV1().RESTClient(), s.options, c.refusals), shown)
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
		limits:   vertical.NewLimitRanges(client),
		refusals: &refusals{},
		leases:   &leases{client: client.CoordinationV1(), admission: admission, own: types.NamespacedName{Namespace: namespace, Name: name}},
	}
	if c.vpas, err = vertical.NewObjects(vpas); err != nil {
		return nil, err
	}
	if c.controllers, err = vertical.NewControllers(client, true); err != nil {
		return nil, err
	}
	if c.pods, err = newPodCache(client, s.options.Kind.Fit != FitIgnore); err != nil {
		return nil, err
	}
	c.kind, err = newKindness(c, s.options, client)
	return c, err
}

// assemble joins the parts to a loop with its passes.
func (c *controller) assemble(ctx context.Context, s settings, act *actuator, shown *publisher) error {
	act.fleet, act.rollouts = c.kind.fleet, c.kind.rollouts
	rules := s.options.rules()
	rules.Gates = s.options.Features.Gates()
	rules.MemoryByUsage = c.usage != nil
	config := loop.Config[eviction.Snapshot, eviction.State, eviction.Decision]{
		Rules: eviction.Rules(), Actuator: act, Publisher: shown,
		Observer: &observer{
			mode: string(s.flags.Mode), config: rules, kind: c.kind,
			vpas: c.vpas, controllers: c.controllers, limits: c.limits, pods: c.pods, leases: c.leases, policies: c.policies,
			refusals: c.refusals, usage: c.usage,
		},
	}
	turning, err := component.NewLoop(ctx, config, c.ledger)
	if err != nil {
		return err
	}
	c.passes = &passes{
		interval: s.options.Interval, clock: clock.RealClock{}, vpas: c.vpas, serves: s.options.serves, loop: turning,
		metrics: shown.metrics, forget: shown.forget, fleet: c.kind.fleet,
	}
	return nil
}

// listed are the caches that the work waits for.
func (c *controller) listed() component.Caches {
	return append(component.Caches{
		{Objects: "VerticalPodAutoscalers", Synced: c.vpas.Synced},
		{Objects: "pods", Synced: c.pods.synced},
		{Objects: "ReplicaSets and other controllers", Synced: c.controllers.Synced},
		{Objects: "LimitRanges", Synced: c.limits.Synced},
		{Objects: "VerticalScalingPolicies", Synced: c.policies.Synced},
	}, c.kind.listed()...)
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !c.listed().Wait(ctx) {
		return nil
	}
	return c.passes.run(ctx)
}

// work is what the frame runs. Its checks tell whether this replica could work, and
// what it waits for.
func (c *controller) work(frame *component.Frame) component.Work {
	return component.Work{
		Background: append(c.kind.background(), c.vpas.Run, c.controllers.Run, c.limits.Run, c.pods.run, c.policies.Run),
		Run:        c.lead,
		Checks: []health.Check{
			c.listed().Check(),
			frame.LeaderCheck(),
			{Name: "other-writers", Func: c.leases.otherWriters},
			{Name: "admission", Func: c.leases.admissionDetail},
			c.policies.Check(),
		},
	}
}
