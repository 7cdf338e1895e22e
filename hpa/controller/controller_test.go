package controller

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
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

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// bench is the shell on fake clients, in a bubble of synthetic time.
type bench struct {
	client  *fake.Clientset
	events  *record.FakeRecorder
	store   *decisionapi.Store
	metrics *metrics
	c       *controller

	mu     sync.Mutex
	scale  int32
	writes []int32
	refuse error
	// conflict judges writes of the scale; nil for none. reads counts the requests
	// for it.
	conflict func(*autoscalingv1.Scale) error
	reads    int
	// depth is the external metric, in thousandths; asked counts the queries.
	depth int64
	asked int
}

func (b *bench) sample(context.Context, string, replicas.Metric, labels.Selector) replicas.Samples {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.depth < 0 {
		return replicas.Samples{Error: "no metrics returned from external metrics API"}
	}
	return replicas.Samples{At: utc(time.Now()), Values: []int64{b.depth}}
}

func (b *bench) scales() *kube.Scales {
	client := &scalefake.FakeScaleClient{}
	read := func() *autoscalingv1.Scale {
		return &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec:       autoscalingv1.ScaleSpec{Replicas: b.scale},
			Status:     autoscalingv1.ScaleStatus{Replicas: b.scale, Selector: "app=web"},
		}
	}
	client.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reads++
		return true, read(), nil
	})
	client.AddReactor("update", "deployments", func(a clienttesting.Action) (bool, runtime.Object, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.refuse != nil {
			return true, nil, b.refuse
		}
		if b.conflict != nil {
			if err := b.conflict(a.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)); err != nil {
				return true, nil, err
			}
		}
		b.scale = a.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale).Spec.Replicas
		b.writes = append(b.writes, b.scale)
		return true, read(), nil
	})
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	return kube.ScalesFor(client, mapper)
}

func webHPA() *autoscalingv2.HorizontalPodAutoscaler {
	minimum := int32(1)
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1", Generation: 1},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    &minimum, MaxReplicas: 10,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: "depth"},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(10, resource.DecimalSI)},
			}}},
		},
	}
}

// start runs the shell on one object until the test's end.
func start(t *testing.T, mode runtimeflags.Mode, hpa *autoscalingv2.HorizontalPodAutoscaler) *bench {
	t.Helper()
	return startOn(t, mode, fake.NewClientset(hpa))
}

func startOn(t *testing.T, mode runtimeflags.Mode, client *fake.Clientset, prepare ...func(*controller)) *bench {
	t.Helper()
	b := &bench{client: client, events: record.NewFakeRecorder(1000), scale: 2, depth: 20000}
	b.store = decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: replicas.Kind})
	c := &controller{objects: &objects{}}
	var err error
	if c.objects.hpas, err = newHPACache(b.client); err != nil {
		t.Fatal(err)
	}
	if c.pods, err = kube.NewPods(b.client); err != nil {
		t.Fatal(err)
	}
	if c.targets, err = kube.NewTargets(b.client, b.scales()); err != nil {
		t.Fatal(err)
	}
	if b.metrics, err = newMetrics(prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	c.publisher = &publisher{outlets: outlets{statuses: statuses{hpas: b.client.AutoscalingV2()}, recorder: b.events, store: b.store, metrics: b.metrics}}
	for _, p := range prepare {
		p(c)
	}
	options := NewOptions()
	flags := runtimeflags.New(runtimeflags.Acting)
	flags.Mode = mode
	err = c.assemble(t.Context(), settings{flags: flags, options: options}, &observer{
		mode: string(mode), config: options.Rules, hpas: c.objects.get, policies: c.objects.policy, pods: c.pods,
		scales: c.targets, metrics: b, rivals: newRivals(),
		targets: c.targets, sharing: c.objects.sharing,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.c = c
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.objects.run(ctx) })
	running.Go(func() { c.pods.Run(ctx) })
	running.Go(func() { c.targets.Run(ctx) })
	running.Go(func() {
		if err := c.lead(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	b.settle()
	return b
}

// settle lets all that is due happen.
func (b *bench) settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func (b *bench) set(depth int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.depth = depth
}

func (b *bench) status(t *testing.T) autoscalingv2.HorizontalPodAutoscalerStatus {
	t.Helper()
	hpa, err := b.client.AutoscalingV2().HorizontalPodAutoscalers("shop").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return hpa.Status
}

// told drains the events.
func (b *bench) told() string {
	var all []string
	for {
		select {
		case e := <-b.events.Events:
			all = append(all, e)
		default:
			return strings.Join(all, "\n")
		}
	}
}

func condition(s autoscalingv2.HorizontalPodAutoscalerStatus, kind string) string {
	for _, c := range s.Conditions {
		if string(c.Type) == kind {
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

func TestTheLoopScalesAndShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, runtimeflags.ModeAuto, webHPA())
		if b.asked != 1 || len(b.writes) != 0 {
			t.Fatalf("a new object is decided on at once: %d queries, writes %v", b.asked, b.writes)
		}
		b.set(70000)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if len(b.writes) != 1 || b.writes[0] != 4 {
			t.Fatalf("writes %v, want one of 4", b.writes)
		}
		status := b.status(t)
		if status.DesiredReplicas != 4 || status.CurrentReplicas != 2 || status.LastScaleTime == nil || *status.ObservedGeneration != 1 {
			t.Errorf("status %+v", status)
		}
		if got := condition(status, replicas.AbleToScale); got != "True SucceededRescale" {
			t.Errorf("AbleToScale = %q", got)
		}
		if got := status.CurrentMetrics[0].External.Current.AverageValue.String(); got != "35" {
			t.Errorf("shown average %s, want 35", got)
		}
		if got := b.told(); !strings.Contains(got, "SuccessfulRescale New size: 4; reason: external metric depth(nil) above target") {
			t.Errorf("events %q", got)
		}
		if got, ok := b.store.Get("shop", "web"); !ok || len(got.Steps) == 0 {
			t.Errorf("the last decision is %+v", got)
		}
		if got := testutil.ToFloat64(b.metrics.desired.WithLabelValues("shop", "web")); got != 4 {
			t.Errorf("desired_replicas = %v", got)
		}
		if got := testutil.ToFloat64(b.metrics.reconciliations.WithLabelValues(actionUp, errorNone)); got != 1 {
			t.Errorf("reconciliations_total{scale_up} = %v", got)
		}
	})
}

func TestAnEditIsDecidedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, runtimeflags.ModeAuto, webHPA())
		hpa := webHPA()
		hpa.Status = b.status(t)
		raised := int32(5)
		hpa.Spec.MinReplicas, hpa.Generation = &raised, 2
		if _, err := b.client.AutoscalingV2().HorizontalPodAutoscalers("shop").Update(t.Context(), hpa, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if len(b.writes) != 1 || b.writes[0] != 5 {
			t.Errorf("writes %v, want one of 5 without waiting for the period", b.writes)
		}
	})
}

func TestAStatusThatStaysIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, runtimeflags.ModeAuto, webHPA())
		count := func() (n int) {
			for _, a := range b.client.Actions() {
				if a.GetVerb() == "update" && a.GetSubresource() == statusSubresource {
					n++
				}
			}
			return n
		}
		before := count()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if b.asked < 40 || before != 1 || count() != 1 {
			t.Errorf("%d queries, %d and then %d status writes, want one", b.asked, before, count())
		}
	})
}

func TestAWarningThatGoesOnIsToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, runtimeflags.ModeAuto, webHPA())
		b.set(-1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := strings.Count(b.told(), "FailedGetExternalMetric"); got != 1 {
			t.Errorf("told %d times in two minutes, want once", got)
		}
		status := b.status(t)
		if got := condition(status, replicas.ScalingActive); got != "False FailedGetExternalMetric" {
			t.Errorf("ScalingActive = %q", got)
		}
		if len(status.CurrentMetrics) != 0 || status.DesiredReplicas != 2 {
			t.Errorf("status %+v", status)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := strings.Count(b.told(), "FailedGetExternalMetric"); got != 1 {
			t.Errorf("told %d times in the next five minutes, want once", got)
		}
	})
}

func TestARefusedWriteIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, runtimeflags.ModeAuto, webHPA())
		b.refuse = errors.New("the quota is used up")
		b.set(70000)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := condition(b.status(t), replicas.AbleToScale); got != "False FailedUpdateScale" {
			t.Errorf("AbleToScale = %q", got)
		}
		if got := b.told(); !strings.Contains(got, "FailedRescale New size: 4; reason: external metric depth(nil) above target; error: the quota is used up") {
			t.Errorf("events %q", got)
		}
	})
}

func TestAnObjectThatGoesLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, runtimeflags.ModeAuto, webHPA())
		if err := b.client.AutoscalingV2().HorizontalPodAutoscalers("shop").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		b.settle()
		asked := b.asked
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.asked != asked {
			t.Error("a deleted object is still asked for")
		}
		if got := testutil.CollectAndCount(b.metrics.desired); got != 0 {
			t.Errorf("%d series of desired_replicas are left", got)
		}
		if _, ok := b.store.Get("shop", "web"); ok {
			t.Error("the last decision is left")
		}
		if got := testutil.ToFloat64(b.metrics.objects); got != 0 {
			t.Errorf("num_horizontal_pod_autoscalers = %v", got)
		}
	})
}

func TestModeRecommendWritesOneConditionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, runtimeflags.ModeRecommend, webHPA())
		b.set(70000)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if len(b.writes) != 0 {
			t.Errorf("mode Recommend wrote %v", b.writes)
		}
		status := b.status(t)
		if len(status.Conditions) != 1 || condition(status, replicas.Recommends) != "True WouldScale" || status.ObservedGeneration != nil {
			t.Errorf("status %+v", status)
		}
		if got := strings.Count(b.told(), "would scale from 2 to 4"); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
	})
}

func TestAnotherControllersObjectIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hpa := webHPA()
		now := metav1.Now()
		hpa.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: upstreamManager, Subresource: statusSubresource, Time: &now}}
		//nolint:staticcheck // The newer fake shows no managed fields.
		client := fake.NewSimpleClientset(hpa)
		b := startOn(t, runtimeflags.ModeAuto, client)
		b.set(70000)
		if len(b.writes) != 0 || b.asked != 0 {
			t.Errorf("writes %v, %d queries", b.writes, b.asked)
		}
		if got := condition(b.status(t), replicas.Acting); got != "False OtherControllerWrites" {
			t.Errorf("%s = %q", replicas.Acting, got)
		}
		if detail, err := b.c.publisher.otherWriters(t.Context()); err != nil || !strings.Contains(detail, "1 objects are left alone") {
			t.Errorf("readiness %q, %v", detail, err)
		}
		// This fake forgets managed fields at our first write, as if the other had
		// stopped long ago: the object is ours then.
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got := condition(b.status(t), replicas.Acting); len(b.writes) == 0 || got != "" {
			t.Errorf("not taken over: writes %v, %s = %q", b.writes, replicas.Acting, got)
		}
	})
}
