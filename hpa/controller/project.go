package controller

import (
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// defaultUtilization is the CPU percentage that an object without metrics gets,
// as the API server fills it in.
const defaultUtilization int32 = 80

// projectHPA takes over what the rules look at. It defaults what the API server
// would have.
func projectHPA(hpa *autoscalingv2.HorizontalPodAutoscaler, config replicas.Config) replicas.HPA {
	out := replicas.HPA{
		Namespace: hpa.Namespace, Name: hpa.Name, UID: string(hpa.UID), Generation: hpa.Generation,
		Target: replicas.Target{
			APIVersion: hpa.Spec.ScaleTargetRef.APIVersion,
			Kind:       hpa.Spec.ScaleTargetRef.Kind,
			Name:       hpa.Spec.ScaleTargetRef.Name,
		},
		Min: 1, Max: hpa.Spec.MaxReplicas,
		Status: replicas.ObservedStatus{
			CurrentReplicas: hpa.Status.CurrentReplicas,
			DesiredReplicas: hpa.Status.DesiredReplicas,
		},
	}
	if hpa.Kind == replicas.KindScaler {
		out.Kind = replicas.KindScaler
	}
	if hpa.Spec.MinReplicas != nil {
		out.Min = *hpa.Spec.MinReplicas
	}
	if t := hpa.Status.LastScaleTime; t != nil {
		out.Status.LastScaleTime = t.UTC()
	}
	for _, c := range hpa.Status.Conditions {
		switch {
		case string(c.Type) == replicas.ScaledToZero:
			out.Status.ScaledToZero = c.Status == corev1.ConditionTrue
		case strings.HasPrefix(string(c.Type), replicas.OwnPrefix):
			out.Status.Shown = append(out.Status.Shown, string(c.Type))
		}
	}
	slices.Sort(out.Status.Shown)
	out.Metrics = projectMetrics(hpa.Spec.Metrics)
	if b := hpa.Spec.Behavior; b != nil {
		out.Behavior = &behavior.Behavior{
			Up:   projectRules(b.ScaleUp, behavior.DefaultUp()),
			Down: projectRules(b.ScaleDown, behavior.DefaultDown(config.DownscaleStabilization)),
		}
	}
	return out
}

func projectMetrics(specs []autoscalingv2.MetricSpec) []replicas.Metric {
	if len(specs) == 0 {
		percent := defaultUtilization
		return []replicas.Metric{{
			Type: replicas.Resource, Name: replicas.CPU,
			TargetType: string(autoscalingv2.UtilizationMetricType), AverageUtilization: &percent,
		}}
	}
	out := make([]replicas.Metric, len(specs))
	for i := range specs {
		out[i] = projectMetric(&specs[i])
	}
	return out
}

func projectMetric(spec *autoscalingv2.MetricSpec) replicas.Metric {
	m := replicas.Metric{Type: string(spec.Type)}
	identified := func(id autoscalingv2.MetricIdentifier, target autoscalingv2.MetricTarget) {
		m.Name, m.Selector = id.Name, id.Selector
		projectTarget(&m, target)
	}
	switch {
	case spec.Resource != nil:
		m.Name = string(spec.Resource.Name)
		projectTarget(&m, spec.Resource.Target)
	case spec.ContainerResource != nil:
		m.Name, m.Container = string(spec.ContainerResource.Name), spec.ContainerResource.Container
		projectTarget(&m, spec.ContainerResource.Target)
	case spec.Pods != nil:
		identified(spec.Pods.Metric, spec.Pods.Target)
	case spec.Object != nil:
		identified(spec.Object.Metric, spec.Object.Target)
		o := spec.Object.DescribedObject
		m.Object = &replicas.Target{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name}
	case spec.External != nil:
		identified(spec.External.Metric, spec.External.Target)
	}
	return m
}

func projectTarget(m *replicas.Metric, t autoscalingv2.MetricTarget) {
	m.TargetType = string(t.Type)
	m.AverageUtilization = t.AverageUtilization
	m.Value, m.AverageValue = milli(t.Value), milli(t.AverageValue)
}

func milli(q *resource.Quantity) *int64 {
	if q == nil {
		return nil
	}
	v := kube.Milli(*q)
	return &v
}

// projectRules lays what is set over the defaults.
func projectRules(set *autoscalingv2.HPAScalingRules, rules behavior.Rules) behavior.Rules {
	if set == nil {
		return rules
	}
	if set.StabilizationWindowSeconds != nil {
		rules.WindowSeconds = *set.StabilizationWindowSeconds
	}
	if set.SelectPolicy != nil {
		rules.Select = string(*set.SelectPolicy)
	}
	if set.Policies != nil {
		rules.Policies = make([]behavior.Policy, len(set.Policies))
		for i, p := range set.Policies {
			rules.Policies[i] = behavior.Policy{Type: string(p.Type), Value: p.Value, PeriodSeconds: p.PeriodSeconds}
		}
	}
	if set.Tolerance != nil {
		t := set.Tolerance.AsApproximateFloat64()
		rules.Tolerance = &t
	}
	return rules
}

// projectPods takes over the pods, with the requests that the metrics are
// percentages of.
func projectPods(pods []*corev1.Pod, metrics []replicas.Metric) map[string]replicas.Pod {
	if len(pods) == 0 {
		return nil
	}
	out := make(map[string]replicas.Pod, len(pods))
	for _, pod := range pods {
		p := projectPod(pod)
		for i := range metrics {
			m := &metrics[i]
			if m.OfRequest() {
				projectRequest(&p, pod, m)
			}
		}
		out[pod.Name] = p
	}
	return out
}

func projectRequest(p *replicas.Pod, pod *corev1.Pod, m *replicas.Metric) {
	key := replicas.RequestKey(m.Name, m.Container)
	request, err := kube.Request(pod, corev1.ResourceName(m.Name), m.Container)
	if err != nil {
		if p.Unset == nil {
			p.Unset = map[string]string{}
		}
		p.Unset[key] = err.Error()
		return
	}
	if p.Requests == nil {
		p.Requests = make(map[string]int64, 1)
	}
	p.Requests[key] = request
}

func projectPod(pod *corev1.Pod) replicas.Pod {
	p := replicas.Pod{Phase: string(pod.Status.Phase), Deleting: pod.DeletionTimestamp != nil}
	switch pod.Status.Phase {
	case corev1.PodRunning:
		p.Phase = ""
	case "":
		p.Phase = string(corev1.PodUnknown)
	}
	if t := pod.Status.StartTime; t != nil {
		p.Started = utc(t.Time)
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			p.Ready, p.ReadySince = string(c.Status), utc(c.LastTransitionTime.Time)
			break
		}
	}
	return p
}

// utc makes a time the same after a pass through JSON.
func utc(t time.Time) time.Time { return t.UTC().Round(0) }

// projectWriter finds the upstream controller among those who wrote the status.
func projectWriter(hpa *autoscalingv2.HorizontalPodAutoscaler) *replicas.Writer {
	for _, f := range hpa.ManagedFields {
		if f.Subresource == statusSubresource && f.Manager == upstreamManager && f.Time != nil {
			return &replicas.Writer{Manager: f.Manager, At: utc(f.Time.Time)}
		}
	}
	return nil
}

const (
	statusSubresource = "status"
	// upstreamManager is the field manager of the upstream HPA controller.
	upstreamManager = "kube-controller-manager"
)
