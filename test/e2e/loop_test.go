package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/queue"
)

// TestWholeLoop: a queue fills, workers come, the queue drains, the workers go;
// every message is done with.
func TestWholeLoop(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab).withQueueLoop()
	s.work(20)
	s.fill(300)
	s.awaitReplicas(5, maxReplicas, 30*time.Second)
	s.awaitDrained(60 * time.Second)

	if c := s.hpaCondition(autoscalingv2.ScalingActive); c.Status != corev1.ConditionTrue || c.Reason != "ValidMetricFound" {
		t.Errorf("ScalingActive is %s %s, want True ValidMetricFound", c.Status, c.Reason)
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionFresh, v1alpha1.ConditionSourceReachable} {
		if c := s.sourceCondition(kind); c.Status != metav1.ConditionTrue {
			t.Errorf("MetricSource condition %s is %q (%s: %s), want True", kind, c.Status, c.Reason, c.Message)
		}
	}
	var events corev1.EventList
	if err := s.client.List(t.Context(), &events); err != nil {
		t.Fatal(err)
	}
	rescales := 0
	for _, e := range events.Items {
		if e.Namespace == s.namespace && e.Reason == "SuccessfulRescale" && e.InvolvedObject.Name == workload {
			rescales++
		}
	}
	if rescales == 0 {
		t.Error("no SuccessfulRescale event tells of the scaling")
	}
}

// TestMetricCarriesTheSourcesTime: what the aggregation layer serves has the
// depth and the time at which the broker measured it.
func TestMetricCarriesTheSourcesTime(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	s.create(s.metricSource())
	s.fill(30)
	path := "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + s.namespace + "/" + metricName
	eventually(t, 20*time.Second, func() error {
		out, err := s.lab.Kubectl(t.Context(), "get", "--raw", path)
		if err != nil {
			return err
		}
		value, at, err := decodeExternal(out)
		if err != nil {
			return err
		}
		if value.Value() != int64(s.tally.Counts().Depth()) {
			return fmt.Errorf("value %s, want %d", value.String(), s.tally.Counts().Depth())
		}
		if age := time.Since(at); age < -time.Second || age > 5*time.Second {
			return fmt.Errorf("the sample's time is %v old", age)
		}
		return nil
	})
}

// TestInvalidMetricSourceIsRefused: the API server itself names the field.
func TestInvalidMetricSourceIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	cases := map[string]struct {
		spoil func(*v1alpha1.MetricSource)
		field string
	}{
		"no source at all":        {func(m *v1alpha1.MetricSource) { m.Spec.Source = v1alpha1.Source{} }, "spec.source"},
		"poll interval too short": {func(m *v1alpha1.MetricSource) { m.Spec.PollInterval.Duration = time.Millisecond }, "spec.pollInterval"},
		"no stream":               {func(m *v1alpha1.MetricSource) { m.Spec.Source.NATSJetStream.Stream = "" }, "spec.source.natsJetStream.stream"},
		"password in a server":    {func(m *v1alpha1.MetricSource) { m.Spec.Source.NATSJetStream.Servers = []string{"nats://u:p@host:4222"} }, "spec.source.natsJetStream.servers"},
		"unknown value":           {func(m *v1alpha1.MetricSource) { m.Spec.Metrics[0].Value = "Dept" }, "spec.metrics"},
		"no metric":               {func(m *v1alpha1.MetricSource) { m.Spec.Metrics = nil }, "spec.metrics"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := s.metricSource()
			c.spoil(m)
			err := s.client.Create(t.Context(), m)
			if !apierrors.IsInvalid(err) {
				t.Fatalf("error %v, want Invalid", err)
			}
			var status apierrors.APIStatus
			if !errors.As(err, &status) || !strings.Contains(status.Status().Message, c.field) {
				t.Errorf("%v does not name the field %s", err, c.field)
			}
		})
	}
}

// TestBrokerDies: while the broker is away, whichever it is, the replicas hold,
// conditions of both objects say why, and everything recovers by itself.
func TestBrokerDies(t *testing.T) {
	t.Parallel()
	for _, system := range queue.Systems() {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			brokerDies(t, newStageOf(t, suite.lab, system).withQueueLoop())
		})
	}
}

func brokerDies(t *testing.T, s *stage) {
	s.fill(100)
	s.awaitReplicas(5, 5, 30*time.Second)

	s.broker.Shutdown()
	eventually(t, 30*time.Second, func() error {
		if c := s.hpaCondition(autoscalingv2.ScalingActive); c.Status != corev1.ConditionFalse || c.Reason != "FailedGetExternalMetric" || !strings.Contains(c.Message, metricName) {
			return fmt.Errorf("ScalingActive is %s %s: %s", c.Status, c.Reason, c.Message)
		}
		if c := s.sourceCondition(v1alpha1.ConditionSourceReachable); c.Status != metav1.ConditionFalse || c.Message == "" {
			return fmt.Errorf("SourceReachable is %s %s: %s", c.Status, c.Reason, c.Message)
		}
		if c := s.sourceCondition(v1alpha1.ConditionFresh); c.Status != metav1.ConditionFalse {
			return fmt.Errorf("Fresh is %s %s: %s", c.Status, c.Reason, c.Message)
		}
		return nil
	})
	consistently(t, 6*time.Second, func() error {
		if got := s.replicas(); got != 5 {
			return fmt.Errorf("%d replicas while the broker is away, want 5 held", got)
		}
		return nil
	})

	if err := s.broker.Start(); err != nil {
		t.Fatal(err)
	}
	s.work(20)
	s.awaitDrained(60 * time.Second)
	eventually(t, 30*time.Second, func() error {
		if c := s.sourceCondition(v1alpha1.ConditionSourceReachable); c.Status != metav1.ConditionTrue {
			return fmt.Errorf("SourceReachable is %s %s: %s", c.Status, c.Reason, c.Message)
		}
		return nil
	})
}

// TestCPU: an HPA on CPU utilization follows the usage that the nodes report.
func TestCPU(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	usage := func(cpu string) {
		t.Helper()
		err := s.lab.SetUsage(t.Context(), lab.Usage{
			Namespace: s.namespace, Selector: labels.SelectorFromSet(labels.Set{"app": workload}),
			CPU: resource.MustParse(cpu), Memory: resource.MustParse("10Mi"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.create(s.deployment(2))
	usage("90m")
	s.create(s.hpa(autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name:   corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(50))},
	}}))
	// Each pod uses 90m of the 100m it asks for, whatever their number: there are
	// never enough of them.
	s.awaitReplicas(maxReplicas, maxReplicas, 3*time.Minute)
	usage("5m")
	s.awaitReplicas(1, 1, 3*time.Minute)
}

// TestRefusedObjectHarmsNoOther: a MetricSource whose broker does not exist says
// so, and its neighbour is served.
func TestBadSourceHarmsNoOther(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab).withQueueLoop()
	bad := s.metricSource()
	bad.Name = "elsewhere"
	bad.Spec.Source.NATSJetStream.Servers = []string{"nats://127.0.0.1:1"}
	bad.Spec.Metrics[0].Name = "elsewhere-depth"
	s.create(bad)
	s.fill(60)
	s.awaitReplicas(3, 3, 30*time.Second)
	eventually(t, 30*time.Second, func() error {
		var m v1alpha1.MetricSource
		s.get("elsewhere", &m)
		for _, c := range m.Status.Conditions {
			if c.Type == v1alpha1.ConditionSourceReachable && c.Status == metav1.ConditionFalse {
				return nil
			}
		}
		return fmt.Errorf("conditions %v do not say that the source is unreachable", m.Status.Conditions)
	})
}
