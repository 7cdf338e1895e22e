package controller

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

const (
	// name is the binary's and its lease's.
	name = estimator.Component
	// apiComponent names the group of the last decisions.
	apiComponent = "recommender"
)

// The default limits of requests let 10,000 new objects be written within seconds.
// What is written again and again has limits of its own: see Pacing.
const (
	apiQPS   = 1000
	apiBurst = 2000
)

type writer = ledger.Writer[estimator.Snapshot, estimator.State, estimator.Decision]

// NewCommand makes the binary.
func NewCommand() *runtimeflags.Command {
	options := NewOptions()
	c := component.NewCommand(component.Config{
		Name: name, Kind: runtimeflags.Acting, Options: options,
		Short:     "learns what containers use and recommends requests in VerticalPodAutoscalers",
		Decisions: decisionapi.StoreConfig{Component: apiComponent, Kind: estimator.Kind},
		Build: func(ctx context.Context, frame *component.Frame) (component.Work, error) {
			collectSooner()
			c := &controller{settings: settings{flags: frame.Flags, options: options}, elector: frame.Elector}
			if err := c.build(ctx, frame); err != nil {
				return component.Work{}, err
			}
			return c.work(frame), nil
		},
	})
	c.Flags.KubeAPIQPS, c.Flags.KubeAPIBurst = apiQPS, apiBurst
	return c
}

// collectPercent is how much the memory may grow over what is in use before the
// garbage is collected. What is in use grows with the number of containers and lives
// long; what a pass makes dies with it, once a minute.
const collectPercent = 40

// collectSooner sets that, unless the environment says otherwise.
func collectSooner() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}

// settings are the parsed flags.
type settings struct {
	flags   *runtimeflags.Flags
	options *Options
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
	// policies are nil where none are read.
	policies       *policies.Cache
	horizontals    *horizontals
	policyStatuses *policyStatuses
	// evictions are nil where no events are watched.
	evictions *evictions
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
	// own reads the suite's own kinds and writes their status; nil reads none.
	own client.WithWatch
}

func connect(config *rest.Config) (clients, error) {
	var c clients
	var err error
	if c.typed, err = kube.NewClient(config); err != nil {
		return c, err
	}
	if c.vpas, err = vpaclient.NewForConfig(config); err != nil {
		return c, fmt.Errorf("make a client for VerticalPodAutoscalers: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return c, fmt.Errorf("make a client for targets: %w", err)
	}
	if c.usage, err = resourceclient.NewForConfig(kube.Protobuf(config)); err != nil {
		return c, fmt.Errorf("make a client for resource metrics: %w", err)
	}
	if c.own, err = policies.NewClient(config); err != nil {
		return c, err
	}
	c.scales, err = kube.NewScales(config)
	return c, err
}

func (c *controller) build(ctx context.Context, frame *component.Frame) error {
	var err error
	if c.clients, err = connect(frame.REST); err != nil {
		return err
	}
	if c.vpas, err = newVPACache(c.clients.vpas, c.options); err != nil {
		return err
	}
	c.pods = newPodCache(c.clients.typed, c.options.Namespace)
	c.pods.sidecars = c.options.Sidecars
	if c.evictions, err = newEvictions(c.clients.typed, c.options.Namespace); err != nil {
		return err
	}
	if c.policies, err = policies.New(c.clients.own); err != nil {
		return err
	}
	if c.horizontals, err = newHorizontals(c.clients.own); err != nil {
		return err
	}
	metrics, err := newMetrics(telemetry.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	c.publisher = &publisher{
		status: &statusWriter{client: c.clients.vpas.AutoscalingV1()}, recorder: kube.NewRecorder(ctx, c.clients.typed, fieldManager),
		store: frame.Decisions, metrics: metrics,
	}
	if c.ledger, err = component.OpenLedger[estimator.Snapshot, estimator.State, estimator.Decision](frame); err != nil {
		return err
	}
	return c.assemble(ctx)
}

// assemble joins the parts to a loop with its passes.
func (c *controller) assemble(ctx context.Context) error {
	rules := c.options.rules()
	rules.BoundsTolerance = c.options.Pacing.BoundsTolerance
	c.policyStatuses = &policyStatuses{
		policies: c.policies, vpas: c.vpas, only: c.options.Namespace, own: c.clients.own, recorder: c.publisher.recorder,
	}
	histories := newHistories(&checkpoints{
		client: c.clients.vpas.AutoscalingV1(), objects: map[types.NamespacedName]map[string]object{},
		schemes: checkpoint.Schemes{CPU: estimator.CPUScheme(rules.CPU.HalfLife), Memory: estimator.MemoryScheme(rules.Memory.HalfLife)},
	}, c.options)
	if perSecond := c.options.Pacing.BoundsWrites; perSecond > 0 {
		c.publisher.bounds = newBoundsWriter(c.publisher.status, c.vpas, perSecond)
	}
	targets := newTargets(ctx, c.clients.dynamic, c.clients.scales, c.options.Namespace)
	shelves := &library{vpas: c.vpas, pods: c.pods, targets: targets}
	config := loop.Config[estimator.Snapshot, estimator.State, estimator.Decision]{
		Rules: estimator.Rules(), Publisher: c.publisher, Keeper: histories,
		Actuator: &actuator{status: c.publisher.status, bounds: c.publisher.bounds},
		Observer: &observer{
			mode: string(c.flags.Mode), config: rules, vpas: c.vpas, pods: c.pods, policies: c.policies,
			evictions: c.evictions, targets: targets, horizontals: c.horizontals, library: shelves,
		},
	}
	turning, err := component.NewLoop(ctx, config, c.ledger)
	if err != nil {
		return err
	}
	shelves.state = turning.State
	c.passes = &passes{
		vpas: c.vpas, policies: c.policies, targets: targets, loop: turning, histories: histories, bounds: c.publisher.bounds,
		options: c.options, acts: c.flags.Mode.Acts() && c.options.Storage != storagePrometheus,
		metrics: c.publisher.metrics, forget: c.publisher.forget, units: map[types.NamespacedName]decision.Unit{},
	}
	if err := c.assembleHistory(ctx, targets); err != nil {
		return err
	}
	c.passes.newPass = func() *pass {
		return &pass{
			usage:    newOnce(c.publisher.metrics.upstream.counted(usageOf(c.clients.usage, c.pods.knows))),
			archives: newOnce(histories.checkpoints.load), everything: newOnce(histories.checkpoints.loadAll),
			targets: newOnce(c.passes.byTarget),
			images:  newOnce(shelves.images),
			twin:    newOnce(twinBy(c.clients.typed.CoordinationV1(), c.elector.Identity())),
		}
	}
	return nil
}

// assembleHistory joins what learns beside the passes.
func (c *controller) assembleHistory(ctx context.Context, targets *targets) error {
	c.pods.killed = c.passes.wakeKilled
	c.publisher.metrics.histories.Store(c.passes.histories)
	var err error
	if c.passes.past, err = pastOf(ctx, c.options, c.publisher.metrics.upstream); err != nil {
		return err
	}
	if past := c.passes.past; past != nil {
		past.pods, past.targets, past.wake = c.pods, targets, c.passes.wakeKey
	}
	if c.evictions == nil {
		return nil
	}
	return c.evictions.tell(c.pods, c.passes.wakeKilled)
}

// listed are the caches that the work waits for.
func (c *controller) listed() component.Caches {
	return component.Caches{
		{Objects: "VerticalPodAutoscalers", Synced: c.vpas.synced},
		{Objects: "pods", Synced: c.pods.synced},
		{Objects: "VerticalScalingPolicies", Synced: c.policies.Synced},
		{Objects: "HorizontalPodAutoscalers", Synced: c.horizontals.synced},
	}
}

// lead works while this replica leads.
func (c *controller) lead(ctx context.Context) error {
	if !c.listed().Wait(ctx) {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.passes.run(ctx) })
	group.Go(func() error { return c.policyStatuses.run(ctx) })
	return group.Wait()
}

// work is what the frame runs. Its checks tell whether this replica could work, and
// what it leaves alone.
func (c *controller) work(frame *component.Frame) component.Work {
	return component.Work{
		Background: []func(context.Context){c.pods.run, c.evictions.run, c.vpas.run, c.policies.Run, c.horizontals.run},
		Run:        c.lead,
		Checks: []health.Check{
			c.listed().Check(),
			frame.LeaderCheck(),
			{Name: "other-writers", Func: c.publisher.otherWriters},
			c.policies.Check(),
		},
	}
}
