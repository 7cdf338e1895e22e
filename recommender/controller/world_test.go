package controller

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	kubescheme "k8s.io/client-go/kubernetes/scheme"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// world is a cluster of fakes with the recommender's shell on top.
type world struct {
	*controller
	t       *testing.T
	kube    *fake.Clientset
	vpasAPI *vpafake.Clientset
	usage   *metricsfake.Clientset
	events  *record.FakeRecorder
	// own has our own kinds, nil where none are read.
	own client.WithWatch
	// targets are the workloads.
	targets []runtime.Object
}

const namespace = "shop"

// newWorld has one Deployment with one pod and a VPA for it.
func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	w := unstarted(t, objects...)
	w.start()
	return w
}

// unstarted is a world whose recommender does not run yet.
func unstarted(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	w := &world{t: t, kube: fake.NewClientset(pod()), vpasAPI: vpafake.NewSimpleClientset(objects...),
		usage: metricsfake.NewSimpleClientset(), events: record.NewFakeRecorder(100)}
	w.events.IncludeObject, w.targets = true, []runtime.Object{deployment()}
	return w
}

// start makes a recommender, as a process that begins.
func (w *world) start() {
	w.t.Helper()
	elector, err := leader.New(leader.Config{Disabled: true, Identity: "me"})
	if err != nil {
		w.t.Fatal(err)
	}
	flags := runtimeflags.New(runtimeflags.Acting)
	c := &controller{settings: settings{flags: flags, options: NewOptions()}, elector: elector}
	c.clients = clients{typed: w.kube, vpas: w.vpasAPI, usage: w.usage.MetricsV1beta1(),
		dynamic: dynamicfake.NewSimpleDynamicClient(kubescheme.Scheme, w.targets...),
		scales:  kube.ScalesFor(&scalefake.FakeScaleClient{}, meta.NewDefaultRESTMapper(nil))}
	c.clients.own = w.own
	if c.policies, err = policies.New(w.own); err != nil {
		w.t.Fatal(err)
	}
	if c.horizontals, err = newHorizontals(w.own); err != nil {
		w.t.Fatal(err)
	}
	if c.vpas, err = newVPACache(c.clients.vpas, c.options); err != nil {
		w.t.Fatal(err)
	}
	c.pods = newPodCache(c.clients.typed, "")
	metrics, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		w.t.Fatal(err)
	}
	c.publisher = &publisher{
		status: &statusWriter{client: c.clients.vpas.AutoscalingV1()}, recorder: w.events, metrics: metrics,
		store: decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: estimator.Kind}),
	}
	if err := c.assemble(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	go c.pods.run(w.t.Context())
	go c.vpas.run(w.t.Context())
	go c.policies.Run(w.t.Context())
	go c.horizontals.run(w.t.Context())
	if !cache.WaitForCacheSync(w.t.Context().Done(), c.pods.synced, c.vpas.synced, c.policies.Synced, c.horizontals.synced) {
		w.t.Fatal("the caches do not fill")
	}
	w.controller = c
}

// turnAll makes a pass over some objects.
func (w *world) turnAll(names ...string) {
	w.t.Helper()
	var keys []types.NamespacedName
	for _, name := range names {
		keys = append(keys, types.NamespacedName{Namespace: namespace, Name: name})
	}
	w.passes.pass(w.t.Context(), w.t.Context(), keys)
}

// use is what the pod is measured to use.
func (w *world) use(at time.Time, cpu, memory string) {
	w.t.Helper()
	list := &metricsapi.PodMetricsList{Items: []metricsapi.PodMetrics{{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders-1"}, Timestamp: metav1.NewTime(at),
		Containers: []metricsapi.ContainerMetrics{{Name: "app", Usage: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		}}},
	}}}
	w.usage.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, list, nil })
}

// turn makes a pass without the writes that wait after it.
func (w *world) turn(at time.Time, cpu, memory string) {
	w.t.Helper()
	w.use(at, cpu, memory)
	w.passes.pass(w.t.Context(), w.t.Context(), w.passes.all())
}

// pass measures the pod's usage, makes one pass and the writes that wait after it.
func (w *world) pass(at time.Time, cpu, memory string) {
	w.t.Helper()
	w.turn(at, cpu, memory)
	w.write()
}

// until waits for what a cache is about to see.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("waited in vain until %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// write makes the writes that wait.
func (w *world) write() {
	drain(w.t.Context(), w.passes.histories.queue)
	drain(w.t.Context(), w.passes.bounds.queue)
}

func drain[K comparable](ctx context.Context, queue *paced[K]) {
	for next := queue.pop(true); next != nil; next = queue.pop(true) {
		queue.do(ctx, next)
	}
}

func (w *world) vpa() *vpav1.VerticalPodAutoscaler {
	w.t.Helper()
	vpa, err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalers(namespace).Get(w.t.Context(), "orders", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return vpa
}

func (w *world) checkpoints() []vpav1.VerticalPodAutoscalerCheckpoint {
	w.t.Helper()
	found, err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalerCheckpoints(namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return found.Items
}

// history is what the running recommender knows.
func (w *world) history(name string) estimator.State {
	w.t.Helper()
	unit := w.passes.units[types.NamespacedName{Namespace: namespace, Name: name}]
	return w.passes.loop.State(unit)
}

// seen waits until the cache has what was written last.
func (w *world) seen() {
	w.t.Helper()
	want := len(w.vpa().Status.Conditions)
	w.until("the cache sees what was written", func() bool {
		have := w.vpas.any(namespace, "orders")
		return have != nil && len(have.Status.Conditions) == want
	})
}

func vpa(name string) *vpav1.VerticalPodAutoscaler {
	v := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Generation: 3}}
	v.Spec.TargetRef = &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "orders"}
	return v
}

func deployment() *appsv1.Deployment {
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels.Set{"app": "orders"}}
	return d
}

func pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders-1", Labels: labels.Set{"app": "orders"}}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("200Mi"), corev1.ResourceCPU: resource.MustParse("300m")},
	}, Image: "registry.example.com:5000/shop/server:v2"}}
	p.Status.Phase = corev1.PodRunning
	return p
}
