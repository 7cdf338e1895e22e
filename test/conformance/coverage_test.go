package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// wanted is what has to happen somewhere, or nothing was compared of it.
var wanted = []string{
	// What was done.
	"scale-up", "scale-down", "to zero", "from zero", "status write", "status write refused",
	"scale write refused", "scale write meets a newer object", "scale write fails after five tries",
	"status write meets a newer object", "status write meets newer objects for ever",
	// What the status showed.
	"Resource", "Resource utilization", "ContainerResource", "ContainerResource utilization", "Pods",
	"Object", "Object value", "External", "External value",
	"AbleToScale=False FailedGetScale", "AbleToScale=True SucceededGetScale", "AbleToScale=True ReadyForNewScale",
	"AbleToScale=True ScaleUpStabilized", "AbleToScale=True ScaleDownStabilized", "AbleToScale=True SucceededRescale",
	"AbleToScale=False FailedUpdateScale",
	"ScalingActive=True ValidMetricFound", "ScalingActive=False ScalingDisabled", "ScalingActive=False InvalidSelector",
	"ScalingActive=False AmbiguousSelector",
	"ScalingActive=False FailedGetResourceMetric", "ScalingActive=False FailedGetContainerResourceMetric",
	"ScalingActive=False FailedGetPodsMetric", "ScalingActive=False FailedGetObjectMetric",
	"ScalingActive=False FailedGetExternalMetric", "ScalingActive=False InvalidMetricSourceType",
	"ScalingLimited=False DesiredWithinRange", "ScalingLimited=True TooFewReplicas", "ScalingLimited=True TooManyReplicas",
	"ScalingLimited=True ScaleUpLimit", "ScalingLimited=True ScaleDownLimit",
	"ScaledToZero=True ScaledToZero", "ScaledToZero=False NotScaledToZero",
	// What was told.
	"event SuccessfulRescale", "event FailedRescale", "event FailedGetScale", "event FailedComputeMetricsReplicas",
	"event FailedUpdateStatus", "event SelectorRequired", "event InvalidSelector", "event AmbiguousSelector",
	"event FailedGetResourceMetric", "event FailedGetContainerResourceMetric", "event FailedGetPodsMetric",
	"event FailedGetObjectMetric", "event FailedGetExternalMetric", "event InvalidMetricSourceType",
	// What the target was like.
	"target Deployment", "target ReplicaSet", "target StatefulSet", "target ReplicationController", "target Fleet",
	"target not found", "target back", "pods beyond or below the count", "count set by somebody else",
	// What the object was like.
	"edited: bounds", "edited: metrics", "edited: behavior", "edited: target",
	"deleted", "made anew, a turn after it was deleted", "made anew at once",
	"another HPA of the same pods", "another HPA of other pods", "minReplicas 0", "no spec.behavior",
	"several metrics", "some of several metrics fail, and the count grows", "some of several metrics fail, and the count stays",
	"up: window", "up: tolerance", "up: Max", "up: Min", "up: Disabled", "up: Pods", "up: Percent",
	"down: window", "down: tolerance", "down: Max", "down: Min", "down: Disabled", "down: Pods", "down: Percent",
	// What the pods were like.
	"pod deleted", "pod Pending", "pod Failed", "pod Succeeded", "pod not ready", "pod without a start time",
	"pod without readiness", "pod within the initialization period", "pod past it, never ready",
}

// note counts what the world had in a turn.
func (r *result) note(w *world) {
	count := func(what string, holds bool) {
		if holds {
			r.seen[what]++
		}
	}
	count("target "+w.kind.Kind, true)
	count("target not found", w.scale.gone > 0)
	count("target back", w.wasGone && w.scale.gone == 0)
	count("pods beyond or below the count", w.scale.delta != 0)
	count("count set by somebody else", w.turn > 1 && w.scale.manual >= 0)
	count("edited: "+w.edit, w.life == lifeEdited)
	count(string(w.life), w.life != lifeGoesOn && w.life != lifeEdited)
	if w.life != lifeGone {
		r.noteSpec(count, &w.hpa.Spec)
	}
	rules := w.options.Rules
	for _, pod := range w.pods {
		ready := readyCondition(pod)
		count("pod deleted", pod.DeletionTimestamp != nil)
		count("pod "+string(pod.Status.Phase), true)
		count("pod not ready", ready != nil && ready.Status != corev1.ConditionTrue)
		count("pod without a start time", pod.Status.StartTime == nil)
		count("pod without readiness", ready == nil)
		if pod.Status.StartTime != nil && ready != nil {
			young := pod.Status.StartTime.Add(rules.CPUInitializationPeriod).After(w.now)
			never := ready.Status == corev1.ConditionFalse && pod.Status.StartTime.Add(rules.InitialReadinessDelay).After(ready.LastTransitionTime.Time)
			count("pod within the initialization period", young)
			count("pod past it, never ready", !young && never)
		}
	}
}

func (r *result) noteSpec(count func(string, bool), spec *autoscalingv2.HorizontalPodAutoscalerSpec) {
	count("minReplicas 0", spec.MinReplicas != nil && *spec.MinReplicas == 0)
	count("several metrics", len(spec.Metrics) > 1)
	count("no spec.behavior", spec.Behavior == nil)
	if spec.Behavior == nil {
		return
	}
	for direction, rules := range map[string]*autoscalingv2.HPAScalingRules{"up": spec.Behavior.ScaleUp, "down": spec.Behavior.ScaleDown} {
		count(direction+": window", rules.StabilizationWindowSeconds != nil && *rules.StabilizationWindowSeconds > 0)
		count(direction+": tolerance", rules.Tolerance != nil)
		count(direction+": "+string(*rules.SelectPolicy), true)
		for _, policy := range rules.Policies {
			count(direction+": "+string(policy.Type), true)
		}
	}
}

// noteView counts what came of a turn, as ours shows it before anything is
// explained.
func (r *result) noteView(w *world, object string, v *view, before int32) {
	if object == rivalName {
		if v.there {
			ambiguous := isFalse(conditionOf(&v.status, autoscalingv2.ScalingActive))
			r.count("another HPA of the same pods", ambiguous)
			r.count("another HPA of other pods", !ambiguous)
		}
		return
	}
	for _, c := range v.status.Conditions {
		r.seen[fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason)]++
	}
	for i := range v.status.CurrentMetrics {
		r.seen[shownAs(&v.status.CurrentMetrics[i])]++
	}
	for _, e := range v.events {
		r.seen["event "+e.reason]++
	}
	for i := range v.statuses {
		r.count("status write", !v.statuses[i].refused)
		r.count("status write refused", v.statuses[i].refused)
	}
	tries := 0
	for _, write := range v.writes {
		r.count("scale write refused", strings.HasSuffix(write, "refused"))
		if strings.HasSuffix(write, "conflict") {
			tries++
		}
	}
	r.count("scale write meets a newer object", tries > 0)
	r.count("scale write fails after five tries", tries >= 5)
	r.count("status write meets a newer object", v.contended && !w.status.hopeless)
	r.count("status write meets newer objects for ever", v.contended && w.status.hopeless)
	wrote := slices.ContainsFunc(v.writes, func(write string) bool { return !strings.Contains(write, ",") })
	r.count("scale-up", wrote && v.count > before)
	r.count("scale-down", wrote && v.count < before)
	r.count("to zero", wrote && v.count == 0)
	r.count("from zero", wrote && before == 0)
	failed := slices.ContainsFunc(v.events, func(e event) bool { return strings.HasPrefix(e.reason, "FailedGet") && e.reason != "FailedGetScale" })
	some := failed && len(v.status.CurrentMetrics) > 0
	r.count("some of several metrics fail, and the count grows", some && wrote && v.count > before)
	r.count("some of several metrics fail, and the count stays", some && !wrote)
}

func (r *result) count(what string, holds bool) {
	if holds {
		r.seen[what]++
	}
}

// shownAs tells a metric of the status apart by its type and its target's.
func shownAs(m *autoscalingv2.MetricStatus) string {
	switch {
	case m.Resource != nil && m.Resource.Current.AverageUtilization != nil,
		m.ContainerResource != nil && m.ContainerResource.Current.AverageUtilization != nil:
		return string(m.Type) + " utilization"
	case m.Object != nil && m.Object.Current.Value != nil, m.External != nil && m.External.Current.Value != nil:
		return string(m.Type) + " value"
	}
	return string(m.Type)
}

// enoughPlayed is from how many scenarios on everything wanted has to be among
// them.
const enoughPlayed = 200

// table prints how often each thing happened, and fails where one never did.
func (r *result) table(t *testing.T, played int) {
	t.Helper()
	for _, heading := range headings {
		t.Logf("%9s scenarios  explained by %q", thousands(r.explained[heading]), heading)
	}
	for _, what := range wanted {
		t.Logf("%9s times  %s", thousands(r.seen[what]), what)
		if played >= enoughPlayed && r.seen[what] == 0 {
			t.Errorf("no scenario had %q: what was compared is not all there is", what)
		}
	}
	for _, heading := range headings {
		if played >= 10*enoughPlayed && r.explained[heading] == 0 {
			t.Errorf("no scenario showed %q: upstream may have mended it", heading)
		}
	}
}

// thousands writes a number with commas.
func thousands(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
