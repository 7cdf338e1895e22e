package conformance

import (
	"context"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"

	"github.com/quartet-autoscaling/quartet/hpa/controller"
)

// metricsOf serves the world's answers. Calm, values near the largest there is
// are only as large as the count that they ask for needs.
func metricsOf(w *world, calm bool) controller.MetricsClients {
	return controller.MetricsClients{Resources: resources{w: w}, Custom: custom{w, calm}, External: external{w, calm}}
}

// enough is how often a calm value has its target: more than any bound of a spec,
// and so little that no sum of it overflows.
const enough = 1_000_000

// overflow is the least value of the metric that is not calm, in thousandths; 0
// for one that the spec does not name.
func (w *world) overflow(metric string) int64 {
	for i := range w.hpa.Spec.Metrics {
		m := &w.hpa.Spec.Metrics[i]
		var id string
		var target autoscalingv2.MetricTarget
		switch {
		case m.Pods != nil:
			id, target = m.Pods.Metric.Name, m.Pods.Target
		case m.Object != nil:
			id, target = m.Object.Metric.Name, m.Object.Target
		case m.External != nil:
			id, target = m.External.Metric.Name, m.External.Target
		}
		switch {
		case id != metric:
		case target.AverageValue != nil:
			return target.AverageValue.MilliValue() * enough
		case target.Value != nil:
			return target.Value.MilliValue() * enough
		}
	}
	return 0
}

// calmed is the value, or the most that a calm one is.
func (w *world) calmed(metric string, value resource.Quantity, calm bool) resource.Quantity {
	if most := w.overflow(metric); calm && most > 0 && value.Cmp(milliQuantity(most)) > 0 {
		return milliQuantity(most)
	}
	return value
}

type resources struct {
	resourceclient.PodMetricsInterface
	w *world
}

func (m resources) PodMetricses(string) resourceclient.PodMetricsInterface { return m }

func (m resources) List(context.Context, metav1.ListOptions) (*metricsapi.PodMetricsList, error) {
	if err := m.w.answers.resourcesErr; err != nil {
		return nil, err
	}
	return &metricsapi.PodMetricsList{Items: m.w.answers.resources}, nil
}

type custom struct {
	w    *world
	calm bool
}

func (m custom) RootScopedMetrics() customclient.MetricsInterface           { return m }
func (m custom) NamespacedMetrics(string) customclient.MetricsInterface     { return m }
func (m external) NamespacedMetrics(string) externalclient.MetricsInterface { return m }

func (m custom) GetForObject(_ schema.GroupKind, _, metric string, _ labels.Selector) (*customapi.MetricValue, error) {
	if err := m.w.answers.errs[metric]; err != nil {
		return nil, err
	}
	v := m.w.answers.object[metric]
	v.Value = m.w.calmed(metric, v.Value, m.calm)
	return &v, nil
}

func (m custom) GetForObjects(_ schema.GroupKind, _ labels.Selector, metric string, _ labels.Selector) (*customapi.MetricValueList, error) {
	if err := m.w.answers.errs[metric]; err != nil {
		return nil, err
	}
	list := &customapi.MetricValueList{}
	for _, v := range m.w.answers.pods[metric] {
		v.Value = m.w.calmed(metric, v.Value, m.calm)
		list.Items = append(list.Items, v)
	}
	return list, nil
}

type external struct {
	w    *world
	calm bool
}

func (m external) List(metric string, _ labels.Selector) (*externalapi.ExternalMetricValueList, error) {
	if err := m.w.answers.errs[metric]; err != nil {
		return nil, err
	}
	list := &externalapi.ExternalMetricValueList{}
	for _, v := range m.w.answers.external[metric] {
		v.Value = m.w.calmed(metric, v.Value, m.calm)
		list.Items = append(list.Items, v)
	}
	return list, nil
}
