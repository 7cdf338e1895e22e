package controller

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// newStatus lays a report over the status that the object has. The result
// shares nothing that is changed with it.
func newStatus(old *autoscalingv2.HorizontalPodAutoscalerStatus, r replicas.Report, now metav1.Time) autoscalingv2.HorizontalPodAutoscalerStatus {
	status := *old
	status.Conditions = newConditions(old.Conditions, r, now)
	if r.Status.Scope != replicas.ScopeAll {
		return status
	}
	generation := r.Status.ObservedGeneration
	status.ObservedGeneration = &generation
	status.CurrentReplicas, status.DesiredReplicas = r.Status.CurrentReplicas, r.Status.DesiredReplicas
	status.CurrentMetrics = nil
	for _, m := range r.Status.Metrics {
		status.CurrentMetrics = append(status.CurrentMetrics, metricStatus(m))
	}
	if !r.Status.ScaledAt.IsZero() {
		at := metav1.NewTime(r.Status.ScaledAt)
		status.LastScaleTime = &at
	}
	return status
}

func newConditions(old []autoscalingv2.HorizontalPodAutoscalerCondition, r replicas.Report, now metav1.Time) []autoscalingv2.HorizontalPodAutoscalerCondition {
	out := make([]autoscalingv2.HorizontalPodAutoscalerCondition, 0, len(old)+len(r.Conditions))
	for _, c := range old {
		if !slices.Contains(r.Status.Withdrawn, string(c.Type)) {
			out = append(out, c)
		}
	}
	for _, want := range r.Conditions {
		out = setCondition(out, want, now)
	}
	return out
}

func setCondition(all []autoscalingv2.HorizontalPodAutoscalerCondition, want decision.Condition, now metav1.Time) []autoscalingv2.HorizontalPodAutoscalerCondition {
	i := slices.IndexFunc(all, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool { return string(c.Type) == want.Type })
	if i < 0 {
		i = len(all)
		all = append(all, autoscalingv2.HorizontalPodAutoscalerCondition{
			Type: autoscalingv2.HorizontalPodAutoscalerConditionType(want.Type),
		})
	}
	c := &all[i]
	if string(c.Status) != string(want.Status) {
		c.LastTransitionTime = now
	}
	c.Status, c.Reason, c.Message = corev1.ConditionStatus(want.Status), want.Reason, want.Message
	return all
}

func metricStatus(m replicas.MetricStatus) autoscalingv2.MetricStatus {
	out := autoscalingv2.MetricStatus{Type: autoscalingv2.MetricSourceType(m.Type)}
	current := autoscalingv2.MetricValueStatus{
		Value: quantity(m.Value, resource.DecimalSI), AverageUtilization: m.AverageUtilization,
		AverageValue: quantity(m.AverageValue, resource.DecimalSI),
	}
	id := autoscalingv2.MetricIdentifier{Name: m.Name, Selector: m.Selector}
	switch m.Type {
	case replicas.Resource:
		current.AverageValue = quantity(m.AverageValue, resourceFormat(m.Name))
		out.Resource = &autoscalingv2.ResourceMetricStatus{Name: corev1.ResourceName(m.Name), Current: current}
	case replicas.ContainerResource:
		current.AverageValue = quantity(m.AverageValue, resourceFormat(m.Name))
		out.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{
			Name: corev1.ResourceName(m.Name), Container: m.Container, Current: current,
		}
	case replicas.Pods:
		out.Pods = &autoscalingv2.PodsMetricStatus{Metric: id, Current: current}
	case replicas.Object:
		o := autoscalingv2.CrossVersionObjectReference{}
		if m.Object != nil {
			o = autoscalingv2.CrossVersionObjectReference{APIVersion: m.Object.APIVersion, Kind: m.Object.Kind, Name: m.Object.Name}
		}
		out.Object = &autoscalingv2.ObjectMetricStatus{Metric: id, Current: current, DescribedObject: o}
	case replicas.External:
		out.External = &autoscalingv2.ExternalMetricStatus{Metric: id, Current: current}
	}
	return out
}

// resourceFormat is how metrics-server writes a resource.
func resourceFormat(name string) resource.Format {
	if name == string(corev1.ResourceMemory) {
		return resource.BinarySI
	}
	return resource.DecimalSI
}

func quantity(milli *int64, format resource.Format) *resource.Quantity {
	if milli == nil {
		return nil
	}
	return resource.NewMilliQuantity(*milli, format)
}
