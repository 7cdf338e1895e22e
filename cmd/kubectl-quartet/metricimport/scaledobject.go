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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
