package controller

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// Clients are what the controller reaches the world through. All but Own are
// required.
type Clients struct {
	Kube kubernetes.Interface
	// Own reads and writes the suite's own kinds, and reads VerticalPodAutoscalers;
	// nil serves HorizontalPodAutoscalers only.
	Own      client.WithWatch
	Scales   *kube.Scales
	Metrics  MetricsClients
	Recorder record.EventRecorder
	// Decisions keeps the last decision of each object.
	Decisions *decisionapi.Store
	// Registry takes the controller's own metrics.
	Registry prometheus.Registerer
}

// MetricsClients are those of the three metrics APIs.
type MetricsClients struct {
	Resources resourceclient.PodMetricsesGetter
	Custom    customclient.CustomMetricsClient
	External  externalclient.ExternalMetricsClient
}

// connect makes the clients of a cluster.
func connect(ctx context.Context, frame *component.Frame) (Clients, error) {
	typed, err := kube.NewClient(frame.REST)
	if err != nil {
		return Clients{}, err
	}
	own, err := newOwnClient(frame.REST)
	if err != nil {
		return Clients{}, err
	}
	scales, err := kube.NewScales(frame.REST)
	if err != nil {
		return Clients{}, err
	}
	metrics, err := newMetricsClients(frame.REST, scales.Mapper())
	if err != nil {
		return Clients{}, err
	}
	return Clients{
		Kube: typed, Own: own, Scales: scales, Metrics: metrics,
		Recorder:  kube.NewRecorder(ctx, typed, fieldManager),
		Decisions: frame.Decisions, Registry: telemetry.Registry,
	}, nil
}

// prepare makes the parts that the clients alone decide on.
func prepare(clients Clients) (*controller, error) {
	c := &controller{}
	var err error
	if c.objects, err = newObjects(clients.Kube, clients.Own); err != nil {
		return nil, err
	}
	c.policyStatuses = &policyStatuses{
		policies: c.objects.policies, hpas: c.objects.hpas, own: clients.Own, recorder: clients.Recorder,
	}
	if c.pods, err = kube.NewPods(clients.Kube); err != nil {
		return nil, err
	}
	if c.targets, err = kube.NewTargets(clients.Kube, clients.Scales); err != nil {
		return nil, err
	}
	if c.verticals, err = newVerticals(clients.Own); err != nil {
		return nil, err
	}
	metrics, err := newMetrics(clients.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	c.publisher = &publisher{outlets: outlets{
		statuses: statuses{hpas: clients.Kube.AutoscalingV2(), own: clients.Own}, recorder: clients.Recorder,
		store: clients.Decisions, metrics: metrics,
	}}
	return c, nil
}

// observer gathers for this controller.
func (c *controller) observer(s settings, clients Clients) *observer {
	return &observer{
		mode: string(s.flags.Mode), config: s.options.Rules,
		hpas: c.objects.get, policies: c.objects.policy, pods: c.pods, scales: c.targets,
		metrics: &sampler{MetricsClients: clients.Metrics}, rivals: newRivals(),
		targets: c.targets, sharing: c.objects.sharing, verticals: c.verticals,
	}
}

// Controller is the shell without its binary: no server, no lease, no ledger and
// no reactions. It serves who brings clients of their own, as the comparison with
// upstream's controller does.
type Controller struct{ c *controller }

// New makes a controller in mode Auto.
func New(ctx context.Context, clients Clients, options *Options) (*Controller, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	c, err := prepare(clients)
	if err != nil {
		return nil, err
	}
	flags := runtimeflags.New(runtimeflags.Acting)
	flags.Mode = runtimeflags.ModeAuto
	s := settings{flags: flags, options: options}
	if err := c.assemble(ctx, s, c.observer(s, clients)); err != nil {
		return nil, err
	}
	return &Controller{c: c}, nil
}

// Cache fills the caches and keeps them current until the context ends.
func (c *Controller) Cache(ctx context.Context) {
	var filling sync.WaitGroup
	filling.Go(func() { c.c.pods.Run(ctx) })
	filling.Go(func() { c.c.objects.run(ctx) })
	filling.Go(func() { c.c.targets.Run(ctx) })
	filling.Go(func() { c.c.verticals.run(ctx) })
	filling.Wait()
}

// Run decides, once the caches are filled, until the context ends and the running
// turns have.
func (c *Controller) Run(ctx context.Context) error { return c.c.lead(ctx) }
