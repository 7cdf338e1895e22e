package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/fleet"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/queue"
)

const (
	workload     = "workers"
	metricName   = "orders-depth"
	averageValue = 20
	maxReplicas  = 8
)

// stage is a namespace with a queue of its own, workers and their HPA.
type stage struct {
	t         *testing.T
	lab       *lab.Lab
	client    ctrlclient.Client
	namespace string
	broker    queue.Broker
	tally     *queue.Tally
}

// newStage makes the namespace and a broker that ends with the test.
func newStage(t *testing.T, l *lab.Lab) *stage {
	t.Helper()
	return newStageOf(t, l, "nats")
}

// newStageOf does so with the broker of a system. Where that is not installed the
// test is skipped, and fails in continuous integration.
func newStageOf(t *testing.T, l *lab.Lab, system string) *stage {
	t.Helper()
	broker, err := queue.Start(t.Context(), system, t.TempDir())
	var missing *brokers.MissingError
	if errors.As(err, &missing) && !brokers.Required() {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	s := newStageWithoutBroker(t, l, "")
	s.broker, s.tally = broker, queue.NewTally(nil)
	return s
}

// newStageWithoutBroker makes a namespace only, called as the test with a suffix.
func newStageWithoutBroker(t *testing.T, l *lab.Lab, suffix string) *stage {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	s := &stage{t: t, lab: l, client: l.Client(), namespace: name[:min(len(name), 50)] + suffix}
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
	return s
}

// withQueueLoop adds workers, the MetricSource and an HPA on its metric.
func (s *stage) withQueueLoop() *stage {
	s.t.Helper()
	if data := s.broker.Credentials(); data != nil {
		s.create(&corev1.Secret{ObjectMeta: s.meta(queue.CredentialsSecret), StringData: data})
	}
	s.create(s.deployment(1), s.metricSource(), s.hpa(autoscalingv2.MetricSpec{
		Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: metricName},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(averageValue, resource.DecimalSI)},
		},
	}))
	return s
}

func (s *stage) create(objects ...ctrlclient.Object) {
	s.t.Helper()
	for _, o := range objects {
		if err := s.client.Create(s.t.Context(), o); err != nil {
			s.t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
	}
}

// deleteAtEnd removes objects that the end of the lab would leave to other tests.
func (s *stage) deleteAtEnd(objects ...ctrlclient.Object) {
	s.t.Helper()
	s.t.Cleanup(func() {
		for _, o := range objects {
			if err := s.client.Delete(context.WithoutCancel(s.t.Context()), o); err != nil {
				s.t.Errorf("delete %T %s: %v", o, o.GetName(), err)
			}
		}
	})
}

func (s *stage) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func (s *stage) deployment(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": workload}
	return &appsv1.Deployment{ObjectMeta: s.meta(workload), Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(replicas),
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "worker", Image: "example.com/worker",
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
			}}},
		},
	}}
}

func (s *stage) metricSource() *v1alpha1.MetricSource {
	return &v1alpha1.MetricSource{ObjectMeta: s.meta("orders"), Spec: v1alpha1.MetricSourceSpec{
		PollInterval: metav1.Duration{Duration: time.Second},
		Timeout:      metav1.Duration{Duration: time.Second},
		MaxAge:       metav1.Duration{Duration: 4 * time.Second},
		Source:       s.broker.Source(),
		Metrics:      []v1alpha1.SourceMetric{{Name: metricName, Value: v1alpha1.ValueDepth}},
	}}
}

func (s *stage) hpa(metrics ...autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	rules := func(window int32) *autoscalingv2.HPAScalingRules {
		return &autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: ptr.To(window),
			Policies:                   []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 20, PeriodSeconds: 1}},
		}
	}
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: s.meta(workload), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: workload},
		MinReplicas:    ptr.To(int32(1)), MaxReplicas: maxReplicas, Metrics: metrics,
		Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(0), ScaleDown: rules(3)},
	}}
}

// fill publishes n messages at once.
func (s *stage) fill(n int) {
	s.t.Helper()
	p := &queue.Producer{Broker: s.broker, Tally: s.tally}
	if err := p.Fill(s.t.Context(), n); err != nil {
		s.t.Fatalf("fill the queue: %v", err)
	}
}

// work gives every Running pod a consumer, until the test ends or stop is called.
func (s *stage) work(rate float64) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	f := fleet.New(fleet.Config{
		Cluster: s.lab.Config(), Namespace: s.namespace, Selector: "app=" + workload,
		Broker: s.broker, Tally: s.tally, Rate: rate, Log: slog.New(slog.DiscardHandler),
	})
	go func() { ended <- f.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the fleet: %v", err)
		}
	}
	s.t.Cleanup(stop)
	return stop
}

func (s *stage) replicas() int32 {
	s.t.Helper()
	var d appsv1.Deployment
	s.get(workload, &d)
	return ptr.Deref(d.Spec.Replicas, -1)
}

func (s *stage) get(name string, into ctrlclient.Object) {
	s.t.Helper()
	if err := s.client.Get(s.t.Context(), ctrlclient.ObjectKey{Namespace: s.namespace, Name: name}, into); err != nil {
		s.t.Fatalf("get %T %s: %v", into, name, err)
	}
}

// awaitReplicas waits until the workload has at least low and at most high.
func (s *stage) awaitReplicas(low, high int32, limit time.Duration) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		if got := s.replicas(); got < low || got > high {
			return fmt.Errorf("%d replicas, want %d to %d; HPA: %s", got, low, high, s.hpaConditions())
		}
		return nil
	})
}

func (s *stage) hpaConditions() string {
	s.t.Helper()
	var h autoscalingv2.HorizontalPodAutoscaler
	s.get(workload, &h)
	var b strings.Builder
	for _, c := range h.Status.Conditions {
		fmt.Fprintf(&b, "%s=%s %s (%s); ", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

func (s *stage) hpaCondition(kind autoscalingv2.HorizontalPodAutoscalerConditionType) autoscalingv2.HorizontalPodAutoscalerCondition {
	s.t.Helper()
	var h autoscalingv2.HorizontalPodAutoscaler
	s.get(workload, &h)
	for _, c := range h.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return autoscalingv2.HorizontalPodAutoscalerCondition{}
}

func (s *stage) sourceCondition(kind string) metav1.Condition {
	s.t.Helper()
	var m v1alpha1.MetricSource
	s.get("orders", &m)
	for _, c := range m.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

// awaitDrained waits until every message is done with and the workers are back
// at one.
func (s *stage) awaitDrained(limit time.Duration) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		if c := s.tally.Counts(); c.Depth() != 0 {
			return fmt.Errorf("%d of %d messages are not done with", c.Depth(), c.Produced)
		}
		return nil
	})
	s.awaitReplicas(1, 1, limit)
}

// eventually tries until check gives nil, and fails the test with its last error
// after the limit.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.After(limit)
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not within %v: %v", limit, err)
		case <-every.C:
		}
	}
}

// consistently fails the test as soon as check gives an error within the time.
func consistently(t *testing.T, lasting time.Duration, check func() error) {
	t.Helper()
	end := time.After(lasting)
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		if err := check(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-end:
			return
		case <-every.C:
		}
	}
}
