package controller

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// fleet is the shell on many objects, each with a Deployment. It counts requests,
// and the times of each object's turns.
type fleet struct {
	client *fake.Clientset
	c      *Controller
	// wait is how long the backend of an external metric takes.
	wait map[string]time.Duration

	mu    sync.Mutex
	asked map[string]int
	turns map[string][]time.Time
	last  map[string]replicas.Decision
	usage int64
}

func newFleet(t *testing.T, objects ...runtime.Object) *fleet {
	t.Helper()
	f := &fleet{
		wait: map[string]time.Duration{}, asked: map[string]int{}, usage: 500,
		turns: map[string][]time.Time{}, last: map[string]replicas.Decision{},
	}
	//nolint:staticcheck // The newer fake keeps managed fields, which nobody reads here, and takes ten times as long.
	f.client = fake.NewSimpleClientset(objects...)
	scales := &scalefake.FakeScaleClient{}
	scales.AddReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		f.count("scale")
		return true, &autoscalingv1.Scale{}, nil
	})
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	clients := Clients{
		Kube: f.client, Scales: kube.ScalesFor(scales, mapper), Recorder: record.NewFakeRecorder(100_000),
		Decisions: decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: replicas.Kind}),
		Registry:  prometheus.NewRegistry(),
	}
	c, err := prepare(clients)
	if err != nil {
		t.Fatal(err)
	}
	flags := runtimeflags.New(runtimeflags.Acting)
	flags.Mode = runtimeflags.ModeAuto
	s := settings{flags: flags, options: NewOptions()}
	o := c.observer(s, clients)
	o.metrics = f
	if err := c.assemble(t.Context(), s, o); err != nil {
		t.Fatal(err)
	}
	f.c = &Controller{c: c}
	counted := f.c.c.workers.counted
	f.c.c.workers.counted = func(d replicas.Decision, o decision.Outcome, took time.Duration) {
		f.mu.Lock()
		f.turns[d.Unit.Name] = append(f.turns[d.Unit.Name], time.Now())
		f.last[d.Unit.Name] = d
		f.mu.Unlock()
		counted(d, o, took)
	}
	return f
}

func (f *fleet) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[what]++
}

// sample answers an external metric as late as its backend does.
func (f *fleet) sample(ctx context.Context, _ string, m replicas.Metric, _ labels.Selector) replicas.Samples {
	f.count(m.Name)
	f.mu.Lock()
	wait := f.wait[m.Name]
	f.mu.Unlock()
	if wait > 0 {
		// The custom and external clients do not hear of the context.
		time.Sleep(wait)
	}
	return replicas.Samples{At: utc(time.Now()), Values: []int64{20000}}
}

// usages answers for the pods of the namespace.
func (f *fleet) usages(ctx context.Context, namespace string, selector labels.Selector) ([]metricsapi.PodMetrics, error) {
	f.count("usage " + namespace)
	f.mu.Lock()
	used := f.usage
	f.mu.Unlock()
	pods, err := f.client.Tracker().List(corev1.SchemeGroupVersion.WithResource("pods"), corev1.SchemeGroupVersion.WithKind("Pod"), namespace)
	if err != nil {
		return nil, err
	}
	var out []metricsapi.PodMetrics
	for _, pod := range pods.(*corev1.PodList).Items {
		if selector.Matches(labels.Set(pod.Labels)) {
			out = append(out, metricsapi.PodMetrics{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod.Name}, Timestamp: metav1.Now(),
				Window: metav1.Duration{Duration: 15 * time.Second},
				Containers: []metricsapi.ContainerMetrics{{Name: "main", Usage: corev1.ResourceList{
					corev1.ResourceCPU: *resource.NewMilliQuantity(used, resource.DecimalSI),
				}}},
			})
		}
	}
	return out, nil
}

// run runs the shell until the test's end.
func (f *fleet) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.c.Cache(ctx) })
	running.Go(func() {
		if err := f.c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		// What was still asked ends.
		time.Sleep(time.Minute)
	})
	time.Sleep(time.Second)
	synctest.Wait()
}

// requests counts all requests but those of lists and watches by which caches fill.
func (f *fleet) requests() int {
	n := 0
	for _, a := range f.client.Actions() {
		if a.GetVerb() != "list" && a.GetVerb() != "watch" && a.GetVerb() != "create" {
			n++
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, asked := range f.asked {
		n += asked
	}
	return n
}

func (f *fleet) turned() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, times := range f.turns {
		n += len(times)
	}
	return n
}

// target is a Deployment with its HPA and so many pods.
func target(namespace, name string, pods int, metric autoscalingv2.MetricSpec) []runtime.Object {
	set := map[string]string{"app": name}
	count, minimum := int32(max(pods, 2)), int32(1)
	hpa := webHPA()
	hpa.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "u-" + hpa.UID, Generation: 1}
	hpa.Spec.ScaleTargetRef.Name, hpa.Spec.MinReplicas = name, &minimum
	hpa.Spec.Metrics = []autoscalingv2.MetricSpec{metric}
	out := []runtime.Object{hpa, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: "1"},
		Spec:       appsv1.DeploymentSpec{Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: set}},
		Status:     appsv1.DeploymentStatus{Replicas: count},
	}}
	started := metav1.NewTime(time.Now().Add(-time.Hour))
	for i := range pods {
		out = append(out, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", name, i), Labels: set},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
			}}}},
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, StartTime: &started,
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: started}},
			},
		})
	}
	return out
}

func externalMetric(name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(10, resource.DecimalSI)},
	}}
}

func cpuMetric() autoscalingv2.MetricSpec {
	half := int32(50)
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name:   corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &half},
	}}
}
