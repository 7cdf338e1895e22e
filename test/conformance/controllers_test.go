package conformance

import (
	"context"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/scale"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	upstreammetrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"github.com/quartet-autoscaling/quartet/hpa/controller"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// kind is one that a target may be of. The last is a custom resource, which is
// served in two versions.
type kind struct {
	schema.GroupVersionKind
	resource schema.GroupResource
}

var kinds = []kind{
	{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, schema.GroupResource{Group: "apps", Resource: "deployments"}},
	{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, schema.GroupResource{Group: "apps", Resource: "replicasets"}},
	{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"}, schema.GroupResource{Group: "apps", Resource: "statefulsets"}},
	{schema.GroupVersionKind{Version: "v1", Kind: "ReplicationController"}, schema.GroupResource{Resource: "replicationcontrollers"}},
	{schema.GroupVersionKind{Group: "example.org", Version: "v1", Kind: "Fleet"}, schema.GroupResource{Group: "example.org", Resource: "fleets"}},
}

func mapper() meta.RESTMapper {
	older := schema.GroupVersion{Group: "example.org", Version: "v1beta1"}
	versions := []schema.GroupVersion{{Group: "apps", Version: "v1"}, {Version: "v1"}, {Group: "example.org", Version: "v1"}, older}
	m := meta.NewDefaultRESTMapper(versions)
	for _, k := range kinds {
		m.Add(k.GroupVersionKind, meta.RESTScopeNamespace)
	}
	m.Add(older.WithKind("Fleet"), meta.RESTScopeNamespace)
	return m
}

// Scales serves the scales of both targets.
func (s *side) Scales(string) scale.ScaleInterface { return scales{s: s} }

type scales struct {
	scale.ScaleInterface
	s *side
}

// answer is the scale of the target as it is.
func (c scales) answer(target string) *autoscalingv1.Scale {
	out := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: target}}
	out.Spec.Replicas = c.s.seen[target].count
	out.Status.Replicas, out.Status.Selector = out.Spec.Replicas, c.s.w.scale.selector
	switch {
	case target == rivalName:
		out.Status.Selector = c.s.w.rivalSelector
	case !c.s.healed.surge:
		out.Status.Replicas = max(0, out.Spec.Replicas+c.s.w.scale.delta)
	}
	return out
}

// read fails as the world says.
func (c scales) read(resource schema.GroupResource, target string, again bool) (*autoscalingv1.Scale, error) {
	of := c.s.seen[target]
	if of == nil {
		of = c.s.seen[name]
	}
	of.reads++
	of.turned = append(of.turned, time.Now())
	w := c.s.w
	switch {
	case target == rivalName:
		return c.answer(target), nil
	case target != name || resource != w.kind.resource || w.scale.gone > 0:
		return nil, apierrors.NewNotFound(resource, target)
	case w.scale.readErr != nil:
		return nil, w.scale.readErr
	case again && w.scale.againErr != nil:
		return nil, w.scale.againErr
	}
	return c.answer(target), nil
}

func (c scales) Get(_ context.Context, resource schema.GroupResource, target string, _ metav1.GetOptions) (*autoscalingv1.Scale, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	of := c.s.seen[target]
	return c.read(resource, target, of != nil && len(of.writes) > 0)
}

func (c scales) Update(_ context.Context, resource schema.GroupResource, wanted *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	of := c.s.seen[wanted.Name]
	write := fmt.Sprintf("%s %s %d", time.Now().Format("15:04:05"), resource, wanted.Spec.Replicas)
	if wanted.Name == name {
		if err := c.s.w.scale.wrErr; err != nil {
			of.writes = append(of.writes, write+", refused")
			return nil, err
		}
		if of.conflicts > 0 {
			of.conflicts--
			of.writes = append(of.writes, write+", conflict")
			if n := c.s.w.scale.contender; n >= 0 {
				of.count = n
			}
			return nil, apierrors.NewConflict(resource, name, errConflict)
		}
	}
	of.writes = append(of.writes, write)
	of.count = wanted.Spec.Replicas
	return c.answer(wanted.Name), nil
}

// parts are what a controller consists of: caches to be filled first, and what
// then decides, each until the context ends.
type parts struct{ cache, decide func(context.Context) error }

// silent takes the events of upstream's broadcaster, which nobody tells any.
type silent struct{ typedcorev1.EventInterface }

func (k silent) Events(string) typedcorev1.EventInterface { return k }

func (k silent) CreateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) { return e, nil }

// theirs makes upstream's controller for the side. Its recorder is replaced: it
// joins events that are alike and drops what is more than 25 and one in five
// minutes, so most of them could not be compared.
func (s *side) theirs(ctx context.Context) (parts, error) {
	metrics := metricsOf(s.w, s.healed.overflow)
	factory := informers.NewSharedInformerFactory(s.client, 0)
	rules := s.w.options.Rules
	c := podautoscaler.NewHorizontalController(ctx, silent{}, s, s.client.AutoscalingV2(), mapper(),
		upstreammetrics.NewRESTMetricsClient(metrics.Resources, metrics.Custom, metrics.External),
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(),
		rules.SyncPeriod, rules.DownscaleStabilization, rules.Tolerance, rules.CPUInitializationPeriod, rules.InitialReadinessDelay)
	inside(c, "eventRecorder").Set(reflect.ValueOf(recorder{s: s}))
	s.forget = func() {
		for _, history := range []string{"recommendations", "scaleUpEvents", "scaleDownEvents"} {
			inside(c, history).SetMapIndex(reflect.ValueOf(namespace+"/"+name), reflect.Value{})
		}
	}
	return parts{
		cache: func(ctx context.Context) error {
			factory.Start(ctx.Done())
			<-ctx.Done()
			factory.Shutdown()
			return nil
		},
		decide: func(ctx context.Context) error {
			c.Run(ctx, 1)
			return nil
		},
	}, nil
}

// inside is a field of upstream's controller that it does not let others see.
func inside(c *podautoscaler.HorizontalController, name string) reflect.Value {
	field := reflect.ValueOf(c).Elem().FieldByName(name)
	return reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem() //nolint:gosec // There is no other way to it.
}

// ours makes our controller for the side.
func (s *side) ours(ctx context.Context) (parts, error) {
	c, err := controller.New(ctx, controller.Clients{
		Kube: s.client, Scales: kube.ScalesFor(s, mapper()), Metrics: metricsOf(s.w, false),
		Recorder:  recorder{s: s},
		Decisions: decisionapi.NewStore(decisionapi.StoreConfig{Component: "hpa", Kind: replicas.Kind}),
		Registry:  prometheus.NewRegistry(),
	}, &s.w.options)
	if err != nil {
		return parts{}, err
	}
	return parts{decide: c.Run, cache: func(ctx context.Context) error {
		c.Cache(ctx)
		return nil
	}}, nil
}
