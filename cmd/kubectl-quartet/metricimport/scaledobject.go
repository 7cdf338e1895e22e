package metricimport

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// KEDA's defaults.
const (
	defaultPolling = 30 * time.Second
	defaultMax     = 100
	// leastMaxAge is our own default: KEDA knows no age.
	leastMaxAge = time.Minute
	longestPoll = time.Hour
)

// scaled is one ScaledObject in the making.
type scaled struct {
	r        *run
	object   *unstructured.Unstructured
	spec     map[string]any
	polling  time.Duration
	fallback *fallback
	// names are those of the sources.
	names map[string]bool
	hpa   *autoscalingv2.HorizontalPodAutoscaler
}

// fallback is how many replicas there are to be while a source fails, and after
// how long.
type fallback struct {
	replicas int64
	after    time.Duration
}

func (r *run) scaledObject(o *unstructured.Unstructured) {
	spec, _, err := unstructured.NestedMap(o.Object, "spec")
	if err != nil || spec == nil {
		r.note(o, "spec", NotMapped, "it is no object")
		return
	}
	s := &scaled{r: r, object: o, spec: spec, names: map[string]bool{}}
	s.begin()
	s.timing()
	s.replicas()
	s.readFallback()
	whole := s.advanced()
	s.annotations()
	triggers, _, _ := unstructured.NestedSlice(spec, "triggers")
	if len(triggers) == 0 {
		r.note(o, "spec.triggers", NotMapped, "there are none")
	}
	for i, t := range triggers {
		trigger, ok := t.(map[string]any)
		if !ok {
			r.note(o, fmt.Sprintf("spec.triggers[%d]", i), NotMapped, "it is no object")
			continue
		}
		s.trigger(i, len(triggers), trigger)
	}
	s.others()
	switch {
	case !whole:
		r.note(o, "spec.advanced.scalingModifiers", NotMapped, "no HorizontalPodAutoscaler was made: write the formula as a MetricSource of kind formula over the metrics made here, and scale on that")
	case len(s.hpa.Spec.Metrics) == 0:
		r.note(o, "spec.triggers", NotMapped, "no HorizontalPodAutoscaler was made: it would have no metric")
	default:
		r.add(o, "spec", s.hpa)
	}
}

// begin makes the HPA's head.
func (s *scaled) begin() {
	target, _, _ := unstructured.NestedMap(s.spec, "scaleTargetRef")
	text := func(key, otherwise string) string {
		if value, _ := target[key].(string); value != "" {
			return value
		}
		return otherwise
	}
	s.hpa = &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: s.meta(s.object.GetName()),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
			APIVersion: text("apiVersion", "apps/v1"), Kind: text("kind", "Deployment"), Name: text("name", ""),
		}},
	}
	if s.hpa.Spec.ScaleTargetRef.Name == "" {
		s.r.note(s.object, "spec.scaleTargetRef.name", FillIn, "there is none")
	}
}

func (s *scaled) meta(name string) metav1.ObjectMeta {
	kept := map[string]string{}
	for key, value := range s.object.GetLabels() {
		if !strings.Contains(key, "keda.sh/") {
			kept[key] = value
		}
	}
	if len(kept) == 0 {
		kept = nil
	}
	return metav1.ObjectMeta{Namespace: s.object.GetNamespace(), Name: name, Labels: kept}
}

// whole reads a field that is a whole number, or gives false where it is not
// there.
func (s *scaled) whole(fields ...string) (int64, bool) {
	value, found, _ := unstructured.NestedFieldNoCopy(s.spec, fields...)
	if !found || value == nil {
		return 0, false
	}
	number, err := strconv.ParseInt(fmt.Sprint(value), 10, 64)
	if err != nil {
		s.r.note(s.object, "spec."+strings.Join(fields, "."), NotMapped, "%v is no whole number", value)
		return 0, false
	}
	return number, true
}

func (s *scaled) timing() {
	s.polling = defaultPolling
	if seconds, ok := s.whole("pollingInterval"); ok {
		switch {
		case seconds < 1:
			s.polling = time.Second
			s.r.note(s.object, "spec.pollingInterval", Changed, "sources are polled once a second at the most")
		case seconds > int64(longestPoll/time.Second):
			s.polling = longestPoll
			s.r.note(s.object, "spec.pollingInterval", Changed, "it became an hour")
		default:
			s.polling = time.Duration(seconds) * time.Second
		}
	}
	for _, field := range []string{"cooldownPeriod", "initialCooldownPeriod"} {
		if _, ok := s.whole(field); ok {
			s.r.note(s.object, "spec."+field, NotMapped, "it waits before the last replica goes only; the nearest of an HPA is behavior.scaleDown.stabilizationWindowSeconds, which waits at every step down")
		}
	}
	if _, ok := s.whole("idleReplicaCount"); ok {
		s.r.note(s.object, "spec.idleReplicaCount", NotMapped, "an HPA has one minReplicas, idle or not")
	}
}

func (s *scaled) replicas() {
	least, given := s.whole("minReplicaCount")
	switch {
	case least > 0:
	case s.r.options.ScaleToZero:
		least = 0
	default:
		least = 1
		what := "it is 0 by default"
		if given {
			what = "it is 0"
		}
		s.r.note(s.object, "spec.minReplicaCount", Changed, "%s and became 1: the API server admits minReplicas 0 only with its feature gate HPAScaleToZero (import with --scale-to-zero where it is on)", what)
	}
	most, given := s.whole("maxReplicaCount")
	if !given || most < 1 {
		most = defaultMax
	}
	const limit = 1 << 30
	lowest := int32(min(least, limit))                                                            //nolint:gosec // bounded
	s.hpa.Spec.MinReplicas, s.hpa.Spec.MaxReplicas = &lowest, int32(min(max(most, least), limit)) //nolint:gosec // bounded
}

// readFallback reads what is to be while a source fails.
func (s *scaled) readFallback() {
	if _, ok := s.spec["fallback"]; !ok {
		return
	}
	replicas, ok := s.whole("fallback", "replicas")
	failures, counted := s.whole("fallback", "failureThreshold")
	if !ok || !counted || replicas < 0 || failures < 0 {
		s.r.note(s.object, "spec.fallback", NotMapped, "it needs replicas and failureThreshold")
		return
	}
	if behavior, _, _ := unstructured.NestedString(s.spec, "fallback", "behavior"); behavior != "" && behavior != "static" {
		s.r.note(s.object, "spec.fallback.behavior", Changed, "%s became the floor of policy Floor: never fewer than the replicas named", behavior)
	}
	after := time.Duration(min(failures, 1000)) * s.polling
	s.fallback = &fallback{replicas: replicas, after: min(max(after, s.polling), 24*time.Hour)}
	s.r.note(s.object, "spec.fallback", Changed, "it became maxAge %s and policy Floor of onStale: while the source is silent for longer, the HPA reads the greater of the last value and that of %d replicas", s.fallback.after, replicas)
}

// advanced reads spec.advanced; false where the HPA cannot be made.
func (s *scaled) advanced() bool {
	advanced, _, _ := unstructured.NestedMap(s.spec, "advanced")
	if restore, _ := advanced["restoreToOriginalReplicaCount"].(bool); restore {
		s.r.note(s.object, "spec.advanced.restoreToOriginalReplicaCount", NotMapped, "an HPA that is deleted leaves the replicas as they are")
	}
	config, _ := advanced["horizontalPodAutoscalerConfig"].(map[string]any)
	if name, _ := config["name"].(string); name != "" {
		s.hpa.Name = name
	}
	if behavior, ok := config["behavior"]; ok {
		raw, err := json.Marshal(behavior)
		if err == nil {
			err = json.Unmarshal(raw, &s.hpa.Spec.Behavior)
		}
		if err != nil {
			s.hpa.Spec.Behavior = nil
			s.r.note(s.object, "spec.advanced.horizontalPodAutoscalerConfig.behavior", NotMapped, "it is no behavior of an HPA")
		}
	}
	formula, _, _ := unstructured.NestedString(advanced, "scalingModifiers", "formula")
	for _, field := range slices.Sorted(maps.Keys(advanced)) {
		switch field {
		case "restoreToOriginalReplicaCount", "horizontalPodAutoscalerConfig", "scalingModifiers":
		default:
			s.r.note(s.object, "spec.advanced."+field, NotMapped, "there is no counterpart")
		}
	}
	return formula == ""
}

func (s *scaled) annotations() {
	for _, key := range slices.Sorted(maps.Keys(s.object.GetAnnotations())) {
		if strings.HasPrefix(key, "autoscaling.keda.sh/paused") {
			s.r.note(s.object, "metadata.annotations", NotMapped, "%s: an HPA is paused by deleting it, or by mode Off of its controller", key)
		}
	}
}

// others lists the fields of spec that nothing reads.
func (s *scaled) others() {
	known := []string{
		"scaleTargetRef", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount",
		"minReplicaCount", "maxReplicaCount", "fallback", "advanced", "triggers",
	}
	for _, field := range slices.Sorted(maps.Keys(s.spec)) {
		if !slices.Contains(known, field) {
			s.r.note(s.object, "spec."+field, NotMapped, "there is no counterpart")
		}
	}
}

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
