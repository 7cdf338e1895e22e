package e2e

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// compared is an object with its target, and where it ends.
type compared struct {
	begin, end int32
	least      int32
	most       int32
	metrics    []autoscalingv2.MetricSpec
	up         *autoscalingv2.HPAScalingRules
	// kind is the target's, a Deployment where it is empty; lost has none.
	kind string
	lost bool
}

func amount(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.DecimalSI) }

func averageOf(n int64) autoscalingv2.MetricTarget {
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: amount(n)}
}

func valueOf(n int64) autoscalingv2.MetricTarget {
	return autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: amount(n)}
}

func percentOf(n int32) autoscalingv2.MetricTarget {
	return autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &n}
}

func externalMetric(name string, target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name}, Target: target}}
}

func podsMetric(name string, target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name}, Target: target}}
}

func objectMetric(name, object string, target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: object},
		Metric:          autoscalingv2.MetricIdentifier{Name: name}, Target: target}}
}

func cpuMetric(target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: target}}
}

func containerMetric(target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType,
		ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: corev1.ResourceCPU, Container: "worker", Target: target}}
}

// comparedObjects are one for each type of metric and of its target, and for each
// way in which nothing can be decided. Pods use 90m of the 100m that they ask for.
func comparedObjects() map[string]compared {
	all := func(metrics ...autoscalingv2.MetricSpec) []autoscalingv2.MetricSpec { return metrics }
	slow := &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 1, PeriodSeconds: 1800}}}
	return map[string]compared{
		"utilization":       {begin: 1, end: 3, most: 3, metrics: all(cpuMetric(percentOf(50)))},
		"usage":             {begin: 2, end: 2, most: 5, metrics: all(cpuMetric(autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("90m"))}))},
		"container":         {begin: 1, end: 4, most: 4, metrics: all(containerMetric(percentOf(45)))},
		"pods":              {begin: 3, end: 1, most: 5, metrics: all(podsMetric("two", averageOf(10)))},
		"object-value":      {begin: 1, end: 4, most: 4, metrics: all(objectMetric("sixty", "object-value", valueOf(20)))},
		"object-average":    {begin: 1, end: 3, most: 5, metrics: all(objectMetric("sixty", "object-average", averageOf(20)))},
		"external-value":    {begin: 2, end: 2, most: 5, metrics: all(externalMetric("sixty", valueOf(60)))},
		"external-average":  {begin: 1, end: 4, most: 9, metrics: all(externalMetric("forty", averageOf(10)))},
		"zero":              {begin: 1, end: 0, least: -1, most: 5, metrics: all(externalMetric("nothing", averageOf(10)))},
		"stopped":           {begin: 0, end: 0, most: 5, metrics: all(cpuMetric(percentOf(50)))},
		"failing":           {begin: 2, end: 2, most: 5, metrics: all(externalMetric("away", averageOf(10)))},
		"failing-in-part":   {begin: 5, end: 5, most: 9, metrics: all(externalMetric("away", averageOf(10)), externalMetric("forty", averageOf(10)))},
		"lost":              {most: 5, lost: true, metrics: all(cpuMetric(percentOf(50)))},
		"behavior":          {begin: 1, end: 2, most: 9, metrics: all(externalMetric("forty", averageOf(10))), up: slow},
		"stateful":          {begin: 1, end: 2, most: 9, metrics: all(externalMetric("forty", averageOf(20))), kind: "StatefulSet"},
		"custom-resource":   {begin: 1, end: 3, most: 9, metrics: all(externalMetric("sixty", averageOf(20))), kind: "Fleet"},
		"below-the-minimum": {begin: 1, end: 2, least: 2, most: 9, metrics: all(podsMetric("two", averageOf(10)))},
	}
}
