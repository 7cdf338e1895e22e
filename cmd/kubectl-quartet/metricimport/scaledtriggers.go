package metricimport

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// made is what a trigger becomes: a source with one metric, and the HPA's target.
type made struct {
	source v1alpha1.Source
	value  v1alpha1.MetricValue
	// threshold is the parameter that holds the target, and otherwise its default,
	// empty where the trigger must have one.
	threshold, otherwise string
	timeout              time.Duration
}

// trigger makes a source and a metric of one trigger.
func (s *scaled) trigger(i, of int, trigger map[string]any) {
	path := fmt.Sprintf("spec.triggers[%d]", i)
	kind, _ := trigger["type"].(string)
	metadata := map[string]string{}
	fields, _ := trigger["metadata"].(map[string]any)
	for key, value := range fields {
		metadata[key] = fmt.Sprint(value)
	}
	p := &params{r: s.r, object: s.object, path: path, name: s.sourceName(i, of, trigger), metadata: metadata, taken: map[string]bool{}}
	for _, field := range slices.Sorted(maps.Keys(trigger)) {
		switch field {
		case "type", "name", "metadata", "metricType", "authenticationRef":
		case "useCachedMetrics": // as every read does here
		default:
			s.r.note(s.object, path+"."+field, NotMapped, "there is no counterpart")
		}
	}
	// KEDA's own, which every trigger may have.
	p.unused("metricName")
	metricType, _ := trigger["metricType"].(string)
	switch kind {
	case "cpu", "memory":
		s.resource(p, corev1.ResourceName(kind), metricType)
		p.rest()
		return
	case "cron":
		s.r.note(s.object, path, NotMapped, "a schedule belongs into a HorizontalScalingPolicy for the HPA: write one with this schedule")
		return
	}
	convert, known := triggers[kind]
	if !known {
		s.r.note(s.object, path, NotMapped, "no source reads what a trigger of type %s does; an external scaler for it can be asked by a source of kind externalGRPC", kind)
		return
	}
	p.auth = s.r.authOf(s.object, path, trigger)
	m, ok := convert(p)
	if !ok {
		return
	}
	s.activation(p)
	s.add(p, m, metricType)
	p.rest()
}

// sourceName is the ScaledObject's own name, and of several triggers each one's
// name or number behind it.
func (s *scaled) sourceName(i, of int, trigger map[string]any) string {
	if of == 1 {
		return s.object.GetName()
	}
	name := fmt.Sprintf("%s-%d", s.object.GetName(), i)
	if given, _ := trigger["name"].(string); given != "" {
		if named := objectName(s.object.GetName() + "-" + given); !s.names[named] {
			name = named
		}
	}
	s.names[name] = true
	return name
}

// activation lists thresholds that decide between no replica and one.
func (s *scaled) activation(p *params) {
	for _, key := range slices.Sorted(maps.Keys(p.metadata)) {
		if strings.HasPrefix(strings.ToLower(key), "activation") {
			p.unused(key)
			if value := p.metadata[key]; value != "" && value != "0" {
				p.note(key, NotMapped, "an HPA knows no threshold of its own for the first replica: any value above 0 asks for one")
			}
		}
	}
}

// add puts out the source and gives the HPA its metric.
func (s *scaled) add(p *params, m made, metricType string) {
	threshold := s.threshold(p, m)
	metric := metricName(p.name, m.value)
	spec := v1alpha1.MetricSourceSpec{
		Source:       m.source,
		Metrics:      []v1alpha1.SourceMetric{{Name: metric, Value: m.value}},
		PollInterval: metav1.Duration{Duration: s.polling},
		Timeout:      metav1.Duration{Duration: m.timeout},
		MaxAge:       metav1.Duration{Duration: max(leastMaxAge, 2*s.polling)},
	}
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &threshold}
	switch metricType {
	case "", "AverageValue":
		s.floor(&spec, threshold)
	case "Value":
		target = autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: &threshold}
		if s.fallback != nil {
			s.r.note(s.object, p.path+".metricType", NotMapped, "the fallback is left out of this trigger: what as many replicas would read is known of AverageValue only")
		}
	default:
		s.r.note(s.object, p.path+".metricType", Changed, "%s is no target of an external metric, and became AverageValue", metricType)
	}
	source := &v1alpha1.MetricSource{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricSource"},
		ObjectMeta: s.meta(cut(p.name, 253)), Spec: spec,
	}
	if !s.r.add(s.object, p.path, source) {
		return
	}
	s.hpa.Spec.Metrics = append(s.hpa.Spec.Metrics, autoscalingv2.MetricSpec{
		Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: metric}, Target: target,
		},
	})
}

func (s *scaled) floor(spec *v1alpha1.MetricSourceSpec, threshold resource.Quantity) {
	if s.fallback == nil {
		return
	}
	floor := resource.NewMilliQuantity(threshold.MilliValue()*min(s.fallback.replicas, 1000), resource.DecimalSI)
	spec.MaxAge = metav1.Duration{Duration: max(s.fallback.after, 2*s.polling)}
	spec.OnStale = &v1alpha1.OnStale{Policy: v1alpha1.StaleFloor, Floor: floor}
}

// threshold reads the target of a metric.
func (s *scaled) threshold(p *params, m made) resource.Quantity {
	text, ok := "", false
	if m.threshold != "" {
		text, ok = p.text(m.threshold, "the HPA's target")
	}
	if !ok {
		text = m.otherwise
	}
	quantity, err := resource.ParseQuantity(text)
	switch {
	case err == nil && quantity.Sign() > 0:
		return quantity
	case m.threshold == "":
		s.r.note(s.object, p.path, FillIn, "the target is told by the scaler itself: write it in place of 1 into the HPA")
	default:
		p.note(m.threshold, FillIn, "%q is no target above 0: write one in place of 1 into the HPA", text)
	}
	return resource.MustParse("1")
}

// metricName is orders_depth for the source orders and the value Depth.
func metricName(source string, value v1alpha1.MetricValue) string {
	var b strings.Builder
	for _, r := range source {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			b.WriteRune(r)
		} else {
			b.WriteRune('_')
		}
	}
	name := b.String()
	if name == "" || (name[0] >= '0' && name[0] <= '9') {
		name = "_" + name
	}
	suffix := ""
	for i, r := range string(value) {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				suffix += "_"
			}
			r += 'a' - 'A'
		}
		suffix += string(r)
	}
	return cut(name, 100) + "_" + suffix
}
