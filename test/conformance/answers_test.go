package conformance

import (
	"errors"
	"fmt"
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
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

func noAnswers() answers {
	return answers{
		pods: map[string][]customapi.MetricValue{}, object: map[string]customapi.MetricValue{},
		external: map[string][]externalapi.ExternalMetricValue{}, errs: map[string]error{},
	}
}

// measure fills the answers for the turn, for the load on so many pods.
func (w *world) measure(count int32) {
	w.answers = noAnswers()
	factor := w.load / float64(max(count, 1))
	if w.chance(w.faults) {
		w.answers.resourcesErr = errors.New("metrics-server is away")
	}
	w.measureResources(factor)
	for i := range w.hpa.Spec.Metrics {
		w.measureMetric(&w.hpa.Spec.Metrics[i], factor)
	}
	if w.rival != nil {
		w.answers.external[rivalName] = []externalapi.ExternalMetricValue{{
			Timestamp: metav1.NewTime(w.now), Value: *resource.NewQuantity(w.rival.value, resource.DecimalSI)}}
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
		w.answers.pods[m.Pods.Metric.Name] = w.podValues(m.Pods.Metric.Name, m.Pods.Target.AverageValue.MilliValue(), factor)
	case m.Object != nil:
		if !named(m.Object.Metric.Name) {
			w.answers.errs[m.Object.Metric.Name] = errors.New("the source of the object is away")
			return
		}
		w.answers.object[m.Object.Metric.Name] = customapi.MetricValue{
			Timestamp: w.sampled(), Value: w.total(m.Object.Metric.Name, m.Object.Target, factor),
		}
	case m.External != nil && named(m.External.Metric.Name):
		w.answers.external[m.External.Metric.Name] = w.series(w.total(m.External.Metric.Name, m.External.Target, factor))
	}
}

func (w *world) sampled() metav1.Time { return *w.before(pick(w.r, 5, 30, 120)) }

func milliQuantity(milli int64) resource.Quantity {
	return *resource.NewMilliQuantity(milli, resource.DecimalSI)
}

// extremeMetric is the only one that is near the largest there is: of two, another
// may be the highest where one side is spared them.
const extremeMetric = "m0"

// total is the value of a metric that is one number: the load times what a pod
// is to have, or the target times how much busier the pods are than they should.
func (w *world) total(metric string, target autoscalingv2.MetricTarget, factor float64) resource.Quantity {
	if w.extreme && metric == extremeMetric && w.chance(0.3) {
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

func (w *world) podValues(metric string, target int64, factor float64) []customapi.MetricValue {
	var out []customapi.MetricValue
	add := func(pod string) {
		v := customapi.MetricValue{
			DescribedObject: corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod},
			Timestamp:       w.sampled(), Value: milliQuantity(w.noisy(float64(target) * factor)),
		}
		if w.extreme && metric == extremeMetric && w.chance(0.2) {
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
