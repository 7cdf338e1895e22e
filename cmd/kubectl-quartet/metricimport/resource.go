package metricimport

import (
	"strconv"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// resource gives the HPA a metric of the pods' own use.
func (s *scaled) resource(p *params, name corev1.ResourceName, metricType string) {
	if metricType == "" {
		metricType, _ = p.text("type", "metricType")
	}
	p.unused("type")
	text, _ := p.text("value", "the HPA's target")
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.MetricTargetType(metricType)}
	switch metricType {
	case "Utilization":
		percent, err := strconv.ParseInt(text, 10, 32)
		if err != nil || percent < 1 {
			p.note("value", NotMapped, "%q is no percentage: the metric is left out", text)
			return
		}
		utilization := int32(percent)
		target.AverageUtilization = &utilization
	case "AverageValue":
		quantity, err := resource.ParseQuantity(text)
		if err != nil || quantity.Sign() <= 0 {
			p.note("value", NotMapped, "%q is no quantity: the metric is left out", text)
			return
		}
		target.AverageValue = &quantity
	default:
		s.r.note(s.object, p.path+".metricType", NotMapped, "%q is neither Utilization nor AverageValue: the metric is left out", metricType)
		return
	}
	metric := autoscalingv2.MetricSpec{
		Type:     autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: target},
	}
	if container, ok := p.text("containerName", "container"); ok {
		metric = autoscalingv2.MetricSpec{
			Type:              autoscalingv2.ContainerResourceMetricSourceType,
			ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: name, Container: container, Target: target},
		}
	}
	s.activation(p)
	s.hpa.Spec.Metrics = append(s.hpa.Spec.Metrics, metric)
}
