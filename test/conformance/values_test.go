package conformance

import (
	"context"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	upstreammetrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// perPod is a metric per pod as the status is to show it: upstream's own sums of
// upstream's own samples, with the pods that have no say counted as the decision
// counts them.
type perPod struct {
	w        *world
	at       time.Time
	resource corev1.ResourceName
	// container is empty for the whole pod.
	container string
	target    autoscalingv2.MetricTarget
	samples   upstreammetrics.PodMetricsInfo
}

// heard tells whether ours shows of a metric what it decided by, and upstream
// something else: some pod has no say.
func (e *explainer) heard(mine *autoscalingv2.MetricStatus, at time.Time) bool {
	clients := metricsOf(e.w, false)
	client := upstreammetrics.NewRESTMetricsClient(clients.Resources, clients.Custom, clients.External)
	everything := labels.Everything()
	for i := range e.w.hpa.Spec.Metrics {
		spec := &e.w.hpa.Spec.Metrics[i]
		if spec.Type != mine.Type {
			continue
		}
		p := perPod{w: e.w, at: at}
		var shown autoscalingv2.MetricValueStatus
		var err error
		switch {
		case mine.Resource != nil && spec.Resource.Name == mine.Resource.Name:
			p.resource, p.target, shown = spec.Resource.Name, spec.Resource.Target, mine.Resource.Current
			p.samples, _, err = client.GetResourceMetric(context.Background(), p.resource, namespace, everything, "")
		case mine.ContainerResource != nil && spec.ContainerResource.Name == mine.ContainerResource.Name && spec.ContainerResource.Container == mine.ContainerResource.Container:
			c := spec.ContainerResource
			p.resource, p.container, p.target, shown = c.Name, c.Container, c.Target, mine.ContainerResource.Current
			p.samples, _, err = client.GetResourceMetric(context.Background(), p.resource, namespace, everything, p.container)
		case mine.Pods != nil && spec.Pods.Metric.Name == mine.Pods.Metric.Name:
			p.target, shown = spec.Pods.Target, mine.Pods.Current
			p.samples, _, err = client.GetRawMetric(spec.Pods.Metric.Name, namespace, everything, everything)
		default:
			continue
		}
		if err == nil && p.shows(shown) {
			return true
		}
	}
	return false
}

// shows tells whether the value is the one decided by, where pods without a say
// make that another than the first.
func (p *perPod) shows(shown autoscalingv2.MetricValueStatus) bool {
	unready, missing := p.sort()
	if len(p.samples) == 0 {
		return false
	}
	ratio, first := p.measure()
	if ratio < 1 && len(missing) > 0 || ratio > 1 {
		for _, pod := range missing {
			p.samples[pod] = upstreammetrics.PodMetric{Value: p.fallback(ratio, pod)}
		}
	}
	if ratio > 1 {
		for _, pod := range unready {
			p.samples[pod] = upstreammetrics.PodMetric{}
		}
	}
	_, then := p.measure()
	return asJSON(then) != asJSON(first) && asJSON(then) == asJSON(shown)
}

// fallback is what a pod without a sample is taken to use.
func (p *perPod) fallback(ratio float64, pod string) int64 {
	switch {
	case ratio > 1:
		return 0
	case p.target.AverageValue != nil:
		return p.target.AverageValue.MilliValue()
	}
	return p.requests()[pod] * int64(max(100, *p.target.AverageUtilization)) / 100
}

func (p *perPod) requests() map[string]int64 {
	out := map[string]int64{}
	for name, pod := range p.w.pods {
		if request, err := kube.Request(pod, p.resource, p.container); err == nil {
			out[name] = request
		}
	}
	return out
}

func (p *perPod) quantity(milli int64) *resource.Quantity {
	if p.resource == corev1.ResourceMemory {
		return resource.NewMilliQuantity(milli, resource.BinarySI)
	}
	return resource.NewMilliQuantity(milli, resource.DecimalSI)
}

// measure is the ratio to the target, and what is shown of it.
func (p *perPod) measure() (float64, autoscalingv2.MetricValueStatus) {
	if p.target.AverageValue != nil {
		ratio, usage := upstreammetrics.GetMetricUsageRatio(p.samples, p.target.AverageValue.MilliValue())
		return ratio, autoscalingv2.MetricValueStatus{AverageValue: p.quantity(usage)}
	}
	ratio, percent, usage, err := upstreammetrics.GetResourceUtilizationRatio(p.samples, p.requests(), *p.target.AverageUtilization)
	if err != nil {
		return 0, autoscalingv2.MetricValueStatus{}
	}
	return ratio, autoscalingv2.MetricValueStatus{AverageUtilization: &percent, AverageValue: p.quantity(usage)}
}

// sort takes out of the samples those that have no say, and gives the pods that
// are not ready and those without a sample.
func (p *perPod) sort() (unready, missing []string) {
	for name, pod := range p.w.pods {
		sample, sampled := p.samples[name]
		switch {
		case pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed:
			delete(p.samples, name)
		case pod.Status.Phase == corev1.PodPending:
			delete(p.samples, name)
			unready = append(unready, name)
		case !sampled:
			missing = append(missing, name)
		case p.resource == corev1.ResourceCPU && p.starts(pod, sample):
			delete(p.samples, name)
			unready = append(unready, name)
		}
	}
	return unready, missing
}

// starts tells whether a pod's sample of CPU may be that of its start.
func (p *perPod) starts(pod *corev1.Pod, sample upstreammetrics.PodMetric) bool {
	ready := readyCondition(pod)
	if ready == nil || pod.Status.StartTime == nil {
		return true
	}
	rules := p.w.options.Rules
	never := ready.Status == corev1.ConditionFalse
	if pod.Status.StartTime.Add(rules.CPUInitializationPeriod).After(p.at) {
		return never || sample.Timestamp.Before(ready.LastTransitionTime.Add(sample.Window))
	}
	return never && pod.Status.StartTime.Add(rules.InitialReadinessDelay).After(ready.LastTransitionTime.Time)
}
