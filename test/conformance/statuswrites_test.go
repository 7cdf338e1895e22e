package conformance

import (
	"regexp"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// gone stands before a condition that a write took away.
const gone = "no "

// fields names what a write of the status changed, but for what the listed
// differences change for themselves: entries of metrics that failed, the values of
// metrics, texts that name any one of some, and the time of a refusal that goes on.
// desired tells whether the count that is wanted is to be compared.
func (s *statusWrite) fields(desired bool) []string {
	a, b := &s.before, &s.after
	var out []string
	note := func(field string, same bool) {
		if !same && !slices.Contains(replicas.Notices(), strings.TrimPrefix(field, gone)) {
			out = append(out, field)
		}
	}
	note("currentReplicas", a.CurrentReplicas == b.CurrentReplicas)
	note("desiredReplicas", !desired || s.refused && a.DesiredReplicas == 0 || a.DesiredReplicas == b.DesiredReplicas)
	note("lastScaleTime", a.LastScaleTime.Equal(b.LastScaleTime))
	note("observedGeneration", equality.Semantic.DeepEqual(a.ObservedGeneration, b.ObservedGeneration))
	note("currentMetrics", slices.Equal(named(a.CurrentMetrics), named(b.CurrentMetrics)))
	for i := range b.Conditions {
		now := b.Conditions[i]
		was := conditionOf(a, now.Type)
		note(string(now.Type), was != nil && sameCondition(*was, now))
	}
	for i := range a.Conditions {
		note(gone+string(a.Conditions[i].Type), conditionOf(b, a.Conditions[i].Type) != nil)
	}
	slices.Sort(out)
	return out
}

// named are the metrics without their values.
func named(all []autoscalingv2.MetricStatus) []string {
	var out []string
	for i := range all {
		m := all[i].DeepCopy()
		takeValue(m, &autoscalingv2.MetricStatus{
			Resource: &autoscalingv2.ResourceMetricStatus{}, ContainerResource: &autoscalingv2.ContainerResourceMetricStatus{},
			Pods: &autoscalingv2.PodsMetricStatus{}, Object: &autoscalingv2.ObjectMetricStatus{}, External: &autoscalingv2.ExternalMetricStatus{},
		})
		if m.Type != "" {
			out = append(out, asJSON(m))
		}
	}
	return out
}

func sameCondition(a, b autoscalingv2.HorizontalPodAutoscalerCondition) bool {
	a.Message, b.Message = inOrder(a.Message), inOrder(b.Message)
	refused := func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return c.Type == autoscalingv2.AbleToScale && c.Status == corev1.ConditionFalse && c.Reason == "FailedUpdateScale"
	}
	if refused(a) && refused(b) {
		a.LastTransitionTime = b.LastTransitionTime
	}
	return equality.Semantic.DeepEqual(a, b)
}

// missingRequest is how a pod without a request is told of. Upstream tells of any
// one of them, and so of what that one lacks.
var missingRequest = regexp.MustCompile(`(missing request for \S+ in container \S+ of|missing pod-level request for \S+ in|container \S+ not found in) Pod web-\d+`)

// ambiguous is how the objects are told of that look at the same pods.
var ambiguous = regexp.MustCompile(`\(e\.g\. \[(\S+) (\S+)\]\)`)

// inOrder is the text as it would be if it named what it names in order, and no
// pod where any may be meant.
func inOrder(text string) string {
	text = missingRequest.ReplaceAllString(text, "a request is not known")
	return ambiguous.ReplaceAllStringFunc(text, func(found string) string {
		two := ambiguous.FindStringSubmatch(found)[1:]
		slices.Sort(two)
		return "(e.g. [" + strings.Join(two, " ") + "])"
	})
}

// writesShown are the writes of the status by what they changed, without those
// that changed nothing that is compared, and without what was told where one of
// these failed. A write that meets newer objects for ever is one, however often it
// is tried. Some fields may be left out.
func (v *view) writesShown(desired bool, without ...string) {
	for i := range v.statuses {
		w := &v.statuses[i]
		fields := slices.DeleteFunc(w.fields(desired), func(field string) bool { return slices.Contains(without, field) })
		line := strings.Join(fields, " ")
		if w.refused {
			line += ", refused"
		}
		switch {
		case len(fields) > 0 && !(w.refused && slices.Contains(v.shown, line)):
			v.shown = append(v.shown, line)
		case len(fields) == 0 && w.refused:
			v.events = slices.DeleteFunc(v.events, func(e event) bool { return e.reason == "FailedUpdateStatus" && e.at.Equal(w.at) })
		}
	}
}
