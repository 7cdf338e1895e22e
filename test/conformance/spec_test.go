package conformance

import (
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
)

// newSpec is a spec that the API server would accept, with its defaults, but for
// faults that an older server may have let through.
func (w *world) newSpec() autoscalingv2.HorizontalPodAutoscalerSpec {
	spec := autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: w.target(),
		Metrics:        w.newMetrics(), Behavior: w.newBehavior(),
	}
	w.setBounds(&spec)
	return withDefaults(spec)
}

func withDefaults(spec autoscalingv2.HorizontalPodAutoscalerSpec) autoscalingv2.HorizontalPodAutoscalerSpec {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{Spec: spec}
	defaults.SetObjectDefaults_HorizontalPodAutoscaler(hpa)
	return hpa.Spec
}

// setBounds sets both bounds. A minimum of 0 needs a metric that lives without
// pods.
func (w *world) setBounds(spec *autoscalingv2.HorizontalPodAutoscalerSpec) {
	spec.MaxReplicas = 1 + w.r.Int32N(pick[int32](w.r, 5, 20, 60))
	spec.MinReplicas = nil
	if w.chance(0.8) {
		n := 1 + w.r.Int32N(min(spec.MaxReplicas, 6))
		spec.MinReplicas = &n
	}
	wakes := slices.ContainsFunc(spec.Metrics, func(m autoscalingv2.MetricSpec) bool { return m.Object != nil || m.External != nil })
	if wakes && w.chance(0.4) {
		n := int32(0)
		spec.MinReplicas = &n
	}
}

// target is the reference to the world's target.
func (w *world) target() autoscalingv2.CrossVersionObjectReference {
	return autoscalingv2.CrossVersionObjectReference{APIVersion: w.kind.GroupVersion().String(), Kind: w.kind.Kind, Name: name}
}

// editSpec changes one part of the spec.
func (w *world) editSpec() {
	spec := w.hpa.Spec.DeepCopy()
	switch w.edit = pick(w.r, "bounds", "bounds", "metrics", "behavior", "behavior", "target"); w.edit {
	case "bounds":
		w.setBounds(spec)
	case "metrics":
		spec.Metrics = w.newMetrics()
		w.setBounds(spec)
	case "behavior":
		spec.Behavior = w.newBehavior()
	case "target":
		ref := &spec.ScaleTargetRef
		*ref = w.target()
		if w.chance(w.faults * 3) {
			switch w.r.IntN(3) {
			case 0:
				ref.APIVersion = pick(w.r, "a/b/c", "other/v1")
			case 1:
				ref.Kind = "Weather"
			case 2:
				ref.Name = "elsewhere"
			}
		}
	}
	hpa := w.hpa.DeepCopy()
	hpa.Spec = withDefaults(*spec)
	hpa.Generation++
	w.hpa, w.life = hpa, lifeEdited
}

func (w *world) newBehavior() *autoscalingv2.HorizontalPodAutoscalerBehavior {
	if w.chance(0.4) {
		return nil
	}
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: w.newRules(), ScaleDown: w.newRules()}
}

func (w *world) newRules() *autoscalingv2.HPAScalingRules {
	if w.chance(0.25) {
		return nil
	}
	rules := &autoscalingv2.HPAScalingRules{}
	if w.chance(0.6) {
		// Often a whole number of periods, so that windows end with a turn.
		seconds := pick(w.r, 0, 15*w.r.Int32N(12), 15*w.r.Int32N(40), w.r.Int32N(120))
		rules.StabilizationWindowSeconds = &seconds
	}
	if w.chance(0.5) {
		choice := pick(w.r, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MaxChangePolicySelect,
			autoscalingv2.MinChangePolicySelect, autoscalingv2.MinChangePolicySelect, autoscalingv2.DisabledPolicySelect)
		rules.SelectPolicy = &choice
	}
	if w.chance(0.7) {
		for range 1 + w.r.IntN(3) {
			rules.Policies = append(rules.Policies, autoscalingv2.HPAScalingPolicy{
				Type:          pick(w.r, autoscalingv2.PodsScalingPolicy, autoscalingv2.PercentScalingPolicy),
				Value:         pick(w.r, 1+w.r.Int32N(4), 1+w.r.Int32N(30), 1+w.r.Int32N(200)),
				PeriodSeconds: pick(w.r, 15*(1+w.r.Int32N(8)), 15*(1+w.r.Int32N(8)), 1+w.r.Int32N(300)),
			})
		}
	}
	if w.chance(0.3) {
		rules.Tolerance = resource.NewMilliQuantity(pick(w.r, 0, w.r.Int64N(400)), resource.DecimalSI)
	}
	return rules
}

// newMetrics gives up to four metrics; their names tell their places.
func (w *world) newMetrics() []autoscalingv2.MetricSpec {
	n := pick(w.r, 0, 1, 1, 1, 1, 1, 2, 2, 3, 4)
	metrics := make([]autoscalingv2.MetricSpec, n)
	for i := range metrics {
		metrics[i] = w.newMetric(i)
	}
	return metrics
}

func (w *world) newMetric(i int) autoscalingv2.MetricSpec {
	id := autoscalingv2.MetricIdentifier{Name: fmt.Sprintf("m%d", i), Selector: w.newSelector()}
	kind := pick(w.r, autoscalingv2.ResourceMetricSourceType, autoscalingv2.ResourceMetricSourceType,
		autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.PodsMetricSourceType,
		autoscalingv2.ObjectMetricSourceType, autoscalingv2.ExternalMetricSourceType, autoscalingv2.ExternalMetricSourceType)
	if w.chance(w.faults / 5) {
		kind = "Bogus"
	}
	spec := autoscalingv2.MetricSpec{Type: kind}
	what := pick(w.r, corev1.ResourceCPU, corev1.ResourceCPU, corev1.ResourceMemory)
	switch kind {
	case autoscalingv2.ResourceMetricSourceType:
		spec.Resource = &autoscalingv2.ResourceMetricSource{Name: what, Target: w.resourceTarget(what)}
	case autoscalingv2.ContainerResourceMetricSourceType:
		container := pick(w.r, "app", "app", "app", "sidecar", "proxy")
		spec.ContainerResource = &autoscalingv2.ContainerResourceMetricSource{Name: what, Container: container, Target: w.resourceTarget(what)}
	case autoscalingv2.PodsMetricSourceType:
		spec.Pods = &autoscalingv2.PodsMetricSource{Metric: id, Target: w.averageTarget()}
	case autoscalingv2.ObjectMetricSourceType:
		spec.Object = &autoscalingv2.ObjectMetricSource{Metric: id, Target: w.totalTarget(), DescribedObject: pick(w.r,
			autoscalingv2.CrossVersionObjectReference{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Name: "front"},
			autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Namespace", Name: "elsewhere"})}
	case autoscalingv2.ExternalMetricSourceType:
		spec.External = &autoscalingv2.ExternalMetricSource{Metric: id, Target: w.totalTarget()}
	}
	return spec
}

func (w *world) newSelector() *metav1.LabelSelector {
	switch x := w.r.Float64(); {
	case x < 0.7:
		return nil
	case x < 0.7+w.faults/10:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "queue", Operator: "Bogus"}}}
	case x < 0.85:
		return &metav1.LabelSelector{MatchLabels: map[string]string{"queue": "jobs"}}
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "queue", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}}}}
}

// busy is what a busy pod uses of a resource, in thousandths.
func busy(what corev1.ResourceName) int64 {
	if what == corev1.ResourceMemory {
		return (200 << 20) * 1000
	}
	return 300
}

func (w *world) resourceTarget(what corev1.ResourceName) autoscalingv2.MetricTarget {
	if w.chance(0.6) {
		percent := pick(w.r, 50, 60, 80, 100, 1+w.r.Int32N(200))
		return autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}
	}
	format := resource.DecimalSI
	if what == corev1.ResourceMemory {
		format = resource.BinarySI
	}
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType,
		AverageValue: resource.NewMilliQuantity(busy(what)*(50+w.r.Int64N(100))/100, format)}
}

func (w *world) averageTarget() autoscalingv2.MetricTarget {
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: w.quantity()}
}

func (w *world) totalTarget() autoscalingv2.MetricTarget {
	if w.chance(0.5) {
		return w.averageTarget()
	}
	return autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: w.quantity()}
}

func (w *world) quantity() *resource.Quantity {
	return resource.NewMilliQuantity(pick(w.r, 1000, 10_000, 30_000, 1+w.r.Int64N(100_000)), resource.DecimalSI)
}
