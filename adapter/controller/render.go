package controller

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// maxMessage is the API's limit on a condition's message.
const maxMessage = 1024

// render makes the status that shows a decision. Times of transition come from
// the status before.
func render(before v1alpha1.MetricSourceStatus, d query.Decision, now time.Time) v1alpha1.MetricSourceStatus {
	next := v1alpha1.MetricSourceStatus{
		ObservedGeneration: d.Generation,
		Source:             d.SourceText,
		Conditions:         slices.Clone(before.Conditions),
	}
	for _, c := range d.Conditions {
		apimeta.SetStatusCondition(&next.Conditions, metav1.Condition{
			Type: c.Type, Status: metav1.ConditionStatus(c.Status), Reason: c.Reason, Message: cut(c.Message, maxMessage),
			ObservedGeneration: d.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
		})
	}
	fresh, _ := d.Find(query.ConditionFresh)
	for _, s := range d.Served.Samples {
		if served, fault := query.Serve(s, d.Served.Facts, d.At); fault == nil {
			s = served // what a policy makes of it
		}
		next.Metrics = append(next.Metrics, renderSample(s, d.Served.Facts, string(fresh.Status) == string(metav1.ConditionTrue), fresh.Message))
	}
	return next
}

// renderSample shows a metric's newest value with its time, and why it is not
// served where it is not.
func renderSample(s query.Sample, facts query.Facts, fresh bool, whyNot string) v1alpha1.MetricSample {
	out := v1alpha1.MetricSample{Name: s.Metric}
	if !facts.SampledAt.IsZero() {
		at := metav1.NewTime(facts.SampledAt.Truncate(time.Second))
		out.SampledAt = &at
		if s.Fault == nil {
			value := query.Quantity(s.Value)
			out.Value = &value
		}
	}
	switch {
	case !fresh:
		out.Error = whyNot
	case s.Fault != nil:
		out.Error = s.Fault.Message
	}
	return out
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most]
}

// weight is how much a change of status matters.
type weight int

const (
	nothing weight = iota
	// valuesOnly: values, times or the wording of messages.
	valuesOnly
	// worthSaying: a condition, a metric that came, went, failed or recovered.
	worthSaying
)

// weigh compares two statuses.
func weigh(before, next v1alpha1.MetricSourceStatus) weight {
	if before.ObservedGeneration != next.ObservedGeneration || before.Source != next.Source ||
		!slices.EqualFunc(before.Conditions, next.Conditions, sameCondition) ||
		!slices.EqualFunc(before.Metrics, next.Metrics, sameMetric) {
		return worthSaying
	}
	if equality.Semantic.DeepEqual(before, next) {
		return nothing
	}
	return valuesOnly
}

func sameCondition(a, b metav1.Condition) bool {
	return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason
}

func sameMetric(a, b v1alpha1.MetricSample) bool {
	return a.Name == b.Name && (a.Value == nil) == (b.Value == nil) && (a.Error == "") == (b.Error == "")
}
