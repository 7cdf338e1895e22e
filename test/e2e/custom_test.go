package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	customv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	customv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// TestCustomMetrics: HPAs of types Pods and Object follow what a real Prometheus
// knows of pods and of a Deployment, hold while it is away and say why, and go on
// when it is back; kubectl and tenants read the same values.
func TestCustomMetrics(t *testing.T) {
	t.Parallel()
	m := newMonitored(t, 100, 60)
	m.scale()
	m.pods.awaitReplicas(5, 5, 60*time.Second)
	m.objects.awaitReplicas(3, 3, 60*time.Second)
	m.ready(t)
	m.reads(t)
	m.tenantReads(t)
	m.goesAndComesBack(t)
}

// scale adds the sources and an HPA on the metrics of each.
func (m *monitored) scale() {
	cluster := metav1.ObjectMeta{Name: m.objects.namespace}
	deployments := &v1alpha1.ClusterMetricSource{ObjectMeta: cluster, Spec: v1alpha1.ClusterMetricSourceSpec{
		MetricSourceSpec:  m.source(rule(backlogSeries, "deployment", v1alpha1.PrometheusResource{Group: "apps", Resource: "deployments"})),
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: m.objects.namespace}},
	}}
	nodes := &v1alpha1.ClusterMetricSource{ObjectMeta: cluster, Spec: v1alpha1.ClusterMetricSourceSpec{
		MetricSourceSpec: m.source(rule(heatSeries, "node", v1alpha1.PrometheusResource{Resource: "nodes"})),
	}}
	nodes.Name += "-nodes"
	nodes.Spec.MaxAge.Duration = time.Hour
	shared := secret(metav1.ObjectMeta{Namespace: suite.release.Namespace()})
	m.objects.create(shared, deployments, nodes)
	m.objects.deleteAtEnd(shared, deployments, nodes)

	m.pods.create(secret(m.pods.meta("")), &v1alpha1.MetricSource{ObjectMeta: m.pods.meta("shop"), Spec: m.source(
		rule(sessionsSeries, "pod", v1alpha1.PrometheusResource{Resource: "pods"}, "state"),
		rule(errorsSeries, "pod", v1alpha1.PrometheusResource{Resource: "pods"}))})
	m.pods.create(m.pods.hpa(autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: sessionsSeries, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"state": "open"}}},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(20, resource.DecimalSI)},
	}}))
	m.objects.create(m.objects.hpa(autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: workload},
		Metric:          autoscalingv2.MetricIdentifier{Name: backlogSeries},
		Target:          autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(20, resource.DecimalSI)},
	}}))
}

// ready waits until every source says that it serves, whatever it serves.
func (m *monitored) ready(t *testing.T) {
	t.Helper()
	for _, source := range []string{"metricsource/shop", "clustermetricsource/" + m.objects.namespace, "clustermetricsource/" + m.objects.namespace + "-nodes"} {
		eventually(t, 20*time.Second, func() error {
			got, err := m.pods.lab.Kubectl(t.Context(), "get", source, "-n", m.pods.namespace,
				"-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
			if err == nil && !strings.Contains(got, `"status":"True"`) {
				err = fmt.Errorf("%s is not Ready: %s", source, got)
			}
			return err
		})
	}
}

// reads asks the aggregation layer as kubectl does, in both versions.
func (m *monitored) reads(t *testing.T) {
	t.Helper()
	var pods corev1.PodList
	if err := m.pods.client.List(t.Context(), &pods, ctrlclient.InNamespace(m.pods.namespace)); err != nil || len(pods.Items) == 0 {
		t.Fatalf("list the workers: %d, %v", len(pods.Items), err)
	}
	sessions := "namespaces/" + m.pods.namespace + "/pods/%s/" + sessionsSeries + "?metricLabelSelector=state%%3Dopen%s"
	fresh := func(at time.Time) error {
		if age := time.Since(at); age < -time.Second || age > 5*time.Second {
			return fmt.Errorf("the sample is %v old", age)
		}
		return nil
	}
	cases := map[string]struct {
		path, kind, each string
		count            int
		time             func(at time.Time) error
	}{
		"pods by name":       {fmt.Sprintf(sessions, pods.Items[0].Name, ""), "Pod", "20", 1, fresh},
		"pods by selector":   {fmt.Sprintf(sessions, "*", "&labelSelector=app%3D"+workload), "Pod", "20", 5, fresh},
		"a Deployment":       {"namespaces/" + m.objects.namespace + "/deployments.apps/" + workload + "/" + backlogSeries, "Deployment", "60", 1, fresh},
		"a namespace itself": {"namespaces/" + m.objects.namespace + "/metrics/" + backlogSeries, "Namespace", "60", 1, fresh},
		"a node": {"nodes/" + m.node + "/" + heatSeries, "Node", "41500m", 1, func(at time.Time) error {
			if want := m.heatAt.Truncate(time.Second); !at.Equal(want) {
				return fmt.Errorf("the sample's time is %v, want %v, which is the exporter's own", at, want)
			}
			return nil
		}},
	}
	for name, c := range cases {
		for _, version := range []string{"v1beta1", "v1beta2"} {
			eventually(t, 20*time.Second, func() error {
				values, err := m.custom(t, version, c.path)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", name, version, err)
				}
				if len(values) != c.count {
					return fmt.Errorf("%s, %s: %d values, want %d", name, version, len(values), c.count)
				}
				for _, v := range values {
					if v.object.Kind != c.kind || v.value != c.each || !strings.HasSuffix(strings.Split(c.path, "?")[0], "/"+v.metric) {
						return fmt.Errorf("%s, %s: %+v, want %s of %s", name, version, v, c.each, c.kind)
					}
					if err := c.time(v.at); err != nil {
						return fmt.Errorf("%s, %s: %w", name, version, err)
					}
				}
				return nil
			})
		}
	}
}

// customValue is what both versions of the API say of one object.
type customValue struct {
	object        corev1.ObjectReference
	metric, value string
	at            time.Time
}

func (m *monitored) custom(t *testing.T, version, path string, flags ...string) ([]customValue, error) {
	t.Helper()
	out, err := m.pods.lab.Kubectl(t.Context(), append(flags, "get", "--raw", "/apis/custom.metrics.k8s.io/"+version+"/"+path)...)
	if err != nil {
		return nil, err
	}
	var values []customValue
	if version == "v1beta1" {
		var list customv1beta1.MetricValueList
		err = json.Unmarshal([]byte(out), &list)
		for _, v := range list.Items {
			values = append(values, customValue{v.DescribedObject, v.MetricName, v.Value.String(), v.Timestamp.Time})
		}
		return values, err
	}
	var list customv1beta2.MetricValueList
	err = json.Unmarshal([]byte(out), &list)
	for _, v := range list.Items {
		values = append(values, customValue{v.DescribedObject, v.Metric.Name, v.Value.String(), v.Timestamp.Time})
	}
	return values, err
}

// goesAndComesBack kills Prometheus, changes what it would say, and starts it
// again.
func (m *monitored) goesAndComesBack(t *testing.T) {
	t.Helper()
	if err := m.server.Kill(); err != nil {
		t.Fatal(err)
	}
	m.sessions.Store(40)
	m.backlog.Store(140)
	away := func() error {
		return errors.Join(
			says(m.pods, corev1.ConditionFalse, "FailedGetPodsMetric", sessionsSeries, "Unreachable"),
			says(m.objects, corev1.ConditionFalse, "FailedGetObjectMetric", backlogSeries, "Unreachable"))
	}
	eventually(t, 30*time.Second, away)
	var source v1alpha1.MetricSource
	m.pods.get("shop", &source)
	if c := apimeta.FindStatusCondition(source.Status.Conditions, v1alpha1.ConditionSourceReachable); c == nil || c.Status != metav1.ConditionFalse {
		t.Errorf("while Prometheus is away, SourceReachable is %+v", c)
	}
	consistently(t, 3*time.Second, func() error {
		if pods, objects := m.pods.replicas(), m.objects.replicas(); pods != 5 || objects != 3 {
			return fmt.Errorf("%d and %d replicas while Prometheus is away, want 5 and 3 held", pods, objects)
		}
		return nil
	})

	if err := m.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.objects.awaitReplicas(7, 7, 60*time.Second)
	m.pods.awaitReplicas(2, 2, 60*time.Second)
	for _, s := range []*stage{m.pods, m.objects} {
		eventually(t, 30*time.Second, func() error { return says(s, corev1.ConditionTrue, "ValidMetricFound") })
	}
}

// says gives an error unless the HPA's ScalingActive is so, with these words.
func says(s *stage, status corev1.ConditionStatus, reason string, words ...string) error {
	c := s.hpaCondition(autoscalingv2.ScalingActive)
	told := c.Status == status && c.Reason == reason
	for _, word := range words {
		told = told && strings.Contains(c.Message, word)
	}
	if !told {
		return fmt.Errorf("ScalingActive is %s %s: %s; want %s %s with %q", c.Status, c.Reason, c.Message, status, reason, words)
	}
	return nil
}
