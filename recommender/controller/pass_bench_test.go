package controller

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	vpatyped "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/typed/autoscaling.k8s.io/v1"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	kubescheme "k8s.io/client-go/kubernetes/scheme"
	scalefake "k8s.io/client-go/scale/fake"
	"k8s.io/client-go/tools/record"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// crowd is a cluster of many objects whose API server takes all and costs nothing,
// so that what is measured is the recommender alone.
type crowd struct {
	*controller
	size   size
	random *rand.Rand
	now    time.Time
	rolled int
	wrote  map[string]int
}

// api is what the recommender takes for the API server.
type api struct {
	vpaclient.Interface
	vpatyped.AutoscalingV1Interface
	*crowd
}

// size is how many there are. Pods are of each object, containers of each pod.
type size struct{ objects, pods, containers int }

// The two sizes that the benchmarks are made for: the one that upstream was measured
// with, and the one that a large cluster has.
var (
	tenThousand     = size{objects: 2000, pods: 3, containers: 2}
	hundredThousand = size{objects: 10000, pods: 5, containers: 2}
)

func (a api) AutoscalingV1() vpatyped.AutoscalingV1Interface { return a }

func (a api) VerticalPodAutoscalers(string) vpatyped.VerticalPodAutoscalerInterface {
	return writes{crowd: a.crowd}
}

func (a api) VerticalPodAutoscalerCheckpoints(string) vpatyped.VerticalPodAutoscalerCheckpointInterface {
	return files{crowd: a.crowd}
}

func (a api) PodMetricses(string) resourceclient.PodMetricsInterface { return measures{crowd: a.crowd} }

// writes takes statuses, and shows them in the cache.
type writes struct {
	vpatyped.VerticalPodAutoscalerInterface
	crowd *crowd
}

func (w writes) UpdateStatus(_ context.Context, vpa *vpav1.VerticalPodAutoscaler, _ metav1.UpdateOptions) (*vpav1.VerticalPodAutoscaler, error) {
	w.crowd.count("status")
	return vpa, w.crowd.vpas.informer.GetIndexer().Update(vpa)
}

// files takes checkpoints and drops them.
type files struct {
	vpatyped.VerticalPodAutoscalerCheckpointInterface
	crowd *crowd
}

func (f files) List(context.Context, metav1.ListOptions) (*vpav1.VerticalPodAutoscalerCheckpointList, error) {
	return &vpav1.VerticalPodAutoscalerCheckpointList{}, nil
}

func (f files) Create(_ context.Context, o *vpav1.VerticalPodAutoscalerCheckpoint, _ metav1.CreateOptions) (*vpav1.VerticalPodAutoscalerCheckpoint, error) {
	f.crowd.count("create")
	return o, nil
}

func (f files) Patch(_ context.Context, name string, _ types.PatchType, _ []byte, _ metav1.PatchOptions, _ ...string) (*vpav1.VerticalPodAutoscalerCheckpoint, error) {
	f.crowd.count("patch")
	return &vpav1.VerticalPodAutoscalerCheckpoint{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"a": "b"}}}, nil
}

func (c *crowd) count(what string) {
	c.passes.mu.Lock()
	c.wrote[what]++
	c.passes.mu.Unlock()
}

// measures answers with the usage of a namespace's pods, or of all.
type measures struct {
	resourceclient.PodMetricsInterface
	crowd *crowd
}

func (m measures) List(context.Context, metav1.ListOptions) (*metricsapi.PodMetricsList, error) {
	c, list := m.crowd, &metricsapi.PodMetricsList{}
	for _, space := range c.pods.spaces {
		for _, pod := range space.pods {
			item := metricsapi.PodMetrics{ObjectMeta: metav1.ObjectMeta{Namespace: pod.namespace, Name: pod.name}, Timestamp: metav1.NewTime(c.now)}
			for _, container := range pod.containers {
				item.Containers = append(item.Containers, metricsapi.ContainerMetrics{Name: container.name.Value(), Usage: corev1.ResourceList{
					corev1.ResourceCPU:    *resource.NewMilliQuantity(int64(50+c.random.ExpFloat64()*200), resource.DecimalSI),
					corev1.ResourceMemory: *resource.NewQuantity(int64((100+c.random.ExpFloat64()*100)*(1<<20)), resource.BinarySI),
				}})
			}
			list.Items = append(list.Items, item)
		}
	}
	return list, nil
}

func newCrowd(t testing.TB, s size) *crowd {
	t.Helper()
	c := &crowd{size: s, random: rand.New(rand.NewPCG(1, 2)), now: time.Now().UTC().Truncate(time.Second), wrote: map[string]int{}}
	elector, err := leader.New(leader.Config{Disabled: true, Identity: "me"})
	if err != nil {
		t.Fatal(err)
	}
	c.controller = &controller{settings: settings{flags: runtimeflags.New(runtimeflags.Acting), options: NewOptions()}, elector: elector}
	c.clients = clients{typed: fake.NewClientset(), vpas: api{crowd: c}, usage: api{crowd: c}, dynamic: dynamicfake.NewSimpleDynamicClient(kubescheme.Scheme),
		scales: kube.ScalesFor(&scalefake.FakeScaleClient{}, meta.NewDefaultRESTMapper(nil))}
	if c.vpas, err = newVPACache(vpafake.NewSimpleClientset(), c.options); err != nil {
		t.Fatal(err)
	}
	c.pods = newPodCache(c.clients.typed, "")
	metrics, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c.publisher = &publisher{status: &statusWriter{client: api{crowd: c}}, recorder: &record.FakeRecorder{}, metrics: metrics,
		store: decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: estimator.Kind})}
	if err := c.assemble(quiet()); err != nil {
		t.Fatal(err)
	}
	targets := newTargetCache(c.clients.dynamic, schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "")
	targets.listed.Store(true)
	c.passes.targets.watched[wellKnown[schema.GroupKind{Group: "apps", Kind: "Deployment"}]] = targets
	for i := range s.objects {
		c.populate(targets, i)
	}
	return c
}

// populate makes an object with its target and pods; a hundred are in a namespace.
func (c *crowd) populate(targets *targetCache, i int) {
	space, name := fmt.Sprintf("team-%d", i/100), fmt.Sprintf("app-%d", i)
	set := labels.Set{"app": name, "pod-template-hash": "5d4f"}
	key := types.NamespacedName{Namespace: space, Name: name}
	targets.records[key] = &targetRecord{key: key, selector: labels.SelectorFromSet(labels.Set{"app": name})}
	v := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: name, UID: types.UID(name), Generation: 1}}
	v.Spec.TargetRef = &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
	_ = c.vpas.informer.GetIndexer().Add(v)
	for range c.size.pods {
		c.start(space, set)
	}
}

// start makes a pod.
func (c *crowd) start(space string, set labels.Set) {
	c.rolled++
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: fmt.Sprintf("%s-%d", set["app"], c.rolled), Labels: set}}
	for i := range c.size.containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("container-%d", i), Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("200Mi")}}})
	}
	_ = c.pods.Add(p)
}

func quiet() context.Context {
	return logr.NewContext(context.Background(), logr.FromSlogHandler(slog.DiscardHandler))
}

// minute lets time pass, and makes a pass and the writes that wait after it.
func (c *crowd) minute(write bool) {
	c.now = c.now.Add(time.Minute)
	c.passes.pass(quiet(), quiet(), c.passes.all())
	if write {
		drain(quiet(), c.passes.histories.queue)
		drain(quiet(), c.passes.bounds.queue)
	}
}

// live is the memory in use after a collection, in MiB.
func live() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

func benchmarkPass(b *testing.B, s size) {
	before := live()
	c := newCrowd(b, s)
	b.ReportMetric(live()-before, "caches-MiB")
	for range 5 {
		c.minute(true)
	}
	clear(c.wrote)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		c.minute(false)
	}
	b.StopTimer()
	b.ReportMetric(live()-before, "live-MiB")
	if f := os.Getenv("HEAP"); f != "" {
		w, _ := os.Create(f)
		_ = pprof.WriteHeapProfile(w)
		_ = w.Close()
	}
	b.ReportMetric(float64(c.wrote["status"])/float64(b.N), "statuses/op")
	b.ReportMetric(float64(c.passes.bounds.queue.count()), "bounds-waiting")
	b.ReportMetric(float64(c.passes.histories.queue.count()), "checkpoints-waiting")
}

func BenchmarkPass10k(b *testing.B)  { benchmarkPass(b, tenThousand) }
func BenchmarkPass100k(b *testing.B) { benchmarkPass(b, hundredThousand) }

// BenchmarkCheckpoint is what writing one container's history costs.
func BenchmarkCheckpoint(b *testing.B) {
	c := newCrowd(b, size{objects: 1, pods: 3, containers: 2})
	for range 600 {
		c.minute(true)
	}
	o := owner{types.NamespacedName{Namespace: "team-0", Name: "app-0"}, "container-0"}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.passes.histories.write(quiet(), o); err != nil {
			b.Fatal(err)
		}
	}
}
