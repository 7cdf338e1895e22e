package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
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

// answers are what the three metrics APIs say in a turn.
type answers struct {
	resources    []metricsapi.PodMetrics
	resourcesErr error
	// The others are by the metric's name.
	pods     map[string][]customapi.MetricValue
	object   map[string]customapi.MetricValue
	external map[string][]externalapi.ExternalMetricValue
	errs     map[string]error
}

// measure fills the answers for the turn, for the load on so many pods.
func (w *world) measure(count int32) {
	w.answers = answers{
		pods: map[string][]customapi.MetricValue{}, object: map[string]customapi.MetricValue{},
		external: map[string][]externalapi.ExternalMetricValue{}, errs: map[string]error{},
	}
	factor := w.load / float64(max(count, 1))
	if w.chance(w.faults) {
		w.answers.resourcesErr = errors.New("metrics-server is away")
	}
	w.measureResources(factor)
	for i := range w.hpa.Spec.Metrics {
		w.measureMetric(&w.hpa.Spec.Metrics[i], factor)
	}
}

func (w *world) measureMetric(m *autoscalingv2.MetricSpec, factor float64) {
	named := func(metric string) bool {
		if w.chance(w.faults) {
			w.answers.errs[metric] = fmt.Errorf("the source of %s is away", metric)
			return false
		}
		return !w.chance(w.missing / 3)
	}
	switch {
	case m.Pods != nil && named(m.Pods.Metric.Name):
		w.answers.pods[m.Pods.Metric.Name] = w.podValues(m.Pods.Target.AverageValue.MilliValue(), factor)
	case m.Object != nil:
		if !named(m.Object.Metric.Name) {
			w.answers.errs[m.Object.Metric.Name] = errors.New("the source of the object is away")
			return
		}
		w.answers.object[m.Object.Metric.Name] = customapi.MetricValue{
			Timestamp: w.sampled(), Value: w.total(m.Object.Target, factor),
		}
	case m.External != nil && named(m.External.Metric.Name):
		w.answers.external[m.External.Metric.Name] = w.series(w.total(m.External.Target, factor))
	}
}

func (w *world) sampled() metav1.Time { return *w.before(pick(w.r, 5, 30, 120)) }

func milliQuantity(milli int64) resource.Quantity {
	return *resource.NewMilliQuantity(milli, resource.DecimalSI)
}

// total is the value of a metric that is one number: the load times what a pod
// is to have, or the target times how much busier the pods are than they should.
func (w *world) total(target autoscalingv2.MetricTarget, factor float64) resource.Quantity {
	if w.extreme && w.chance(0.3) {
		w.overflows = true
		return *resource.NewQuantity(math.MaxInt64/pick[int64](w.r, 1, 2, 1000, 1_000_000), resource.DecimalSI)
	}
	if target.AverageValue != nil {
		return milliQuantity(int64(w.load * float64(target.AverageValue.MilliValue())))
	}
	return milliQuantity(int64(factor * float64(target.Value.MilliValue())))
}

// series splits a value into a few.
func (w *world) series(total resource.Quantity) []externalapi.ExternalMetricValue {
	n := pick(w.r, 1, 1, 2, 3)
	out := make([]externalapi.ExternalMetricValue, 0, n)
	if !w.overflows {
		rest := total.MilliValue()
		for range n - 1 {
			part := rest / 2
			rest -= part
			out = append(out, externalapi.ExternalMetricValue{Timestamp: w.sampled(), Value: milliQuantity(part)})
		}
		total = milliQuantity(rest)
	}
	if w.chance(w.missing / 10) {
		total.Neg()
	}
	return append(out, externalapi.ExternalMetricValue{Timestamp: w.sampled(), Value: total})
}

func (w *world) podValues(target int64, factor float64) []customapi.MetricValue {
	var out []customapi.MetricValue
	add := func(pod string) {
		v := customapi.MetricValue{
			DescribedObject: corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod},
			Timestamp:       w.sampled(), Value: milliQuantity(w.noisy(float64(target) * factor)),
		}
		if w.extreme && w.chance(0.2) {
			w.overflows = true
			v.Value = *resource.NewQuantity(math.MaxInt64/pick[int64](w.r, 1, 2000), resource.DecimalSI)
		}
		if w.chance(0.3) {
			seconds := int64(30)
			v.WindowSeconds = &seconds
		}
		out = append(out, v)
	}
	w.eachSampled(add)
	return out
}

// eachSampled goes through the pods that a metric has samples of: not all, and
// sometimes one of another's.
func (w *world) eachSampled(add func(pod string)) {
	for _, pod := range w.podNames() {
		running := w.pods[pod].Status.Phase == corev1.PodRunning
		if (running || w.chance(0.1)) && !w.chance(w.missing) {
			add(pod)
		}
	}
	if w.chance(w.missing / 5) {
		add("stranger")
	}
}

// noisy varies a value a little, in half of the cases.
func (w *world) noisy(v float64) int64 {
	if w.chance(0.5) {
		v *= 0.9 + 0.2*w.r.Float64()
	}
	return int64(v)
}

func (w *world) measureResources(factor float64) {
	w.eachSampled(func(pod string) {
		item := metricsapi.PodMetrics{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod},
			Timestamp:  w.sampled(), Window: metav1.Duration{Duration: pick(w.r, 15*time.Second, 30*time.Second, time.Minute)},
		}
		for _, c := range w.containersOf(pod) {
			usage := corev1.ResourceList{}
			for _, what := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if w.chance(w.missing / 8) {
					continue
				}
				usage[what] = milliQuantity(w.noisy(float64(busy(what)) * factor))
			}
			item.Containers = append(item.Containers, metricsapi.ContainerMetrics{Name: c, Usage: usage})
		}
		w.answers.resources = append(w.answers.resources, item)
	})
}

func (w *world) containersOf(pod string) []string {
	if w.chance(w.missing / 10) {
		return nil
	}
	names := []string{"app"}
	if p := w.pods[pod]; p != nil && len(p.Spec.Containers) > 1 {
		names = append(names, "sidecar")
	}
	return names
}

// metricsOf serves the world's answers.
func metricsOf(w *world) controller.MetricsClients {
	return controller.MetricsClients{Resources: resources{w: w}, Custom: custom{w}, External: external{w}}
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

type custom struct{ w *world }

func (m custom) RootScopedMetrics() customclient.MetricsInterface           { return m }
func (m custom) NamespacedMetrics(string) customclient.MetricsInterface     { return m }
func (m external) NamespacedMetrics(string) externalclient.MetricsInterface { return m }

func (m custom) GetForObject(_ schema.GroupKind, _, metric string, _ labels.Selector) (*customapi.MetricValue, error) {
	if err := m.w.answers.errs[metric]; err != nil {
		return nil, err
	}
	v := m.w.answers.object[metric]
	return &v, nil
}

func (m custom) GetForObjects(_ schema.GroupKind, _ labels.Selector, metric string, _ labels.Selector) (*customapi.MetricValueList, error) {
	if err := m.w.answers.errs[metric]; err != nil {
		return nil, err
	}
	return &customapi.MetricValueList{Items: m.w.answers.pods[metric]}, nil
}

type external struct{ w *world }

func (m external) List(metric string, _ labels.Selector) (*externalapi.ExternalMetricValueList, error) {
	if err := m.w.answers.errs[metric]; err != nil {
		return nil, err
	}
	return &externalapi.ExternalMetricValueList{Items: m.w.answers.external[metric]}, nil
}
