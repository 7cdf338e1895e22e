package conformance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/scale"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	upstreammetrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"github.com/quartet-autoscaling/quartet/hpa/controller"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// side is one of the two controllers with a cluster of its own.
type side struct {
	w      *world
	client *fake.Clientset
	// levelled hides from this controller that the count that exists is not the
	// one asked for.
	levelled bool

	mu    sync.Mutex
	count int32
	// writes and reads are those of the scale since the last look, events what was
	// told since then.
	writes []string
	reads  int
	events []event
}

// event is one that was told of the object.
type event struct{ kind, reason, message string }

func (s *side) tell(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// recorder takes events as our controller records them.
type recorder struct {
	record.EventRecorder
	s *side
}

func (r recorder) Event(_ runtime.Object, kind, reason, message string) {
	r.s.tell(event{kind, reason, message})
}

// sink takes events as upstream's recorder writes them: joined where they are
// alike, and no more than so many.
type sink struct {
	typedcorev1.EventInterface
	s *side
}

func (k sink) Events(string) typedcorev1.EventInterface { return k }

func (k sink) CreateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) {
	k.s.tell(event{e.Type, e.Reason, strings.TrimPrefix(e.Message, "(combined from similar events): ")})
	return e, nil
}

func (k sink) PatchWithEventNamespace(e *corev1.Event, _ []byte) (*corev1.Event, error) {
	return k.CreateWithEventNamespace(e)
}

var (
	hpas        = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	deployments = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
)

func newSide(w *world, count int32) *side {
	s := &side{w: w, count: count}
	//nolint:staticcheck // The newer fake keeps managed fields, which nobody reads here, and takes ten times as long.
	s.client = fake.NewSimpleClientset(w.hpa.DeepCopy())
	for _, pod := range w.pods {
		if err := s.client.Tracker().Add(pod.DeepCopy()); err != nil {
			panic(err)
		}
	}
	s.client.PrependReactor("update", hpas.Resource, s.updateStatus)
	return s
}

// updateStatus keeps the spec, as the API server does.
func (s *side) updateStatus(a clienttesting.Action) (bool, runtime.Object, error) {
	update, ok := a.(clienttesting.UpdateAction)
	if !ok || a.GetSubresource() != "status" {
		return false, nil, nil
	}
	sent, ok := update.GetObject().(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		return true, nil, fmt.Errorf("not an HPA: %T", update.GetObject())
	}
	kept := s.object().DeepCopy()
	kept.Status = *sent.Status.DeepCopy()
	return true, kept, s.client.Tracker().Update(hpas, kept, namespace)
}

func (s *side) object() *autoscalingv2.HorizontalPodAutoscaler {
	o, err := s.client.Tracker().Get(hpas, namespace, name)
	if err != nil {
		panic(err)
	}
	return o.(*autoscalingv2.HorizontalPodAutoscaler)
}

// follow brings this side's pods and scale to the world's present turn. before are
// the pods of the turn before.
func (s *side) follow(before map[string]types.UID) error {
	tracker := s.client.Tracker()
	for name := range before {
		if s.w.pods[name] == nil {
			if err := tracker.Delete(pods, namespace, name); err != nil {
				return err
			}
		}
	}
	for name, pod := range s.w.pods {
		var err error
		if _, was := before[name]; was {
			err = tracker.Update(pods, pod.DeepCopy(), namespace)
		} else {
			err = tracker.Create(pods, pod.DeepCopy(), namespace)
		}
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	if s.w.scale.manual >= 0 {
		s.count = s.w.scale.manual
	}
	s.mu.Unlock()
	return nil
}

// edit gives this side's object the world's spec. It is decided on at once, so
// whatever else is new has to be in the caches before.
func (s *side) edit() error {
	edited := s.w.hpa.DeepCopy()
	edited.Status = *s.object().Status.DeepCopy()
	return s.client.Tracker().Update(hpas, edited, namespace)
}

// Scales serves the scale of the only target.
func (s *side) Scales(string) scale.ScaleInterface { return scales{s: s} }

type scales struct {
	scale.ScaleInterface
	s *side
}

func (c scales) answer() *autoscalingv1.Scale {
	out := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	out.Spec.Replicas, out.Status.Selector = c.s.count, c.s.w.scale.selector
	out.Status.Replicas = max(0, c.s.count+c.s.w.scale.delta)
	if c.s.levelled {
		out.Status.Replicas = c.s.count
	}
	return out
}

func (c scales) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.reads++
	if err := c.s.w.scale.readErr; err != nil {
		return nil, err
	}
	return c.answer(), nil
}

func (c scales) Update(_ context.Context, _ schema.GroupResource, wanted *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	at := time.Now().Format("15:04:05.000")
	if err := c.s.w.scale.wrErr; err != nil {
		c.s.writes = append(c.s.writes, fmt.Sprintf("%s %d, refused", at, wanted.Spec.Replicas))
		return nil, err
	}
	c.s.writes = append(c.s.writes, fmt.Sprintf("%s %d", at, wanted.Spec.Replicas))
	c.s.count = wanted.Spec.Replicas
	return c.answer(), nil
}

func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{deployments.GroupVersion()})
	m.Add(deployments, meta.RESTScopeNamespace)
	return m
}

// parts are what a controller consists of: caches to be filled first, and what
// then decides, each until the context ends.
type parts struct{ cache, decide func(context.Context) error }

// upstream makes upstream's controller for the side.
func (s *side) upstream(ctx context.Context) (parts, error) {
	metrics := metricsOf(s.w)
	factory := informers.NewSharedInformerFactory(s.client, 0)
	rules := s.w.options.Rules
	c := podautoscaler.NewHorizontalController(ctx, sink{s: s}, s, s.client.AutoscalingV2(), mapper(),
		upstreammetrics.NewRESTMetricsClient(metrics.Resources, metrics.Custom, metrics.External),
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(),
		rules.SyncPeriod, rules.DownscaleStabilization, rules.Tolerance, rules.CPUInitializationPeriod, rules.InitialReadinessDelay)
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

// ours makes our controller for the side.
func (s *side) ours(ctx context.Context) (parts, error) {
	c, err := controller.New(ctx, controller.Clients{
		Kube: s.client, Scales: kube.ScalesFor(s, mapper()), Metrics: metricsOf(s.w),
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
