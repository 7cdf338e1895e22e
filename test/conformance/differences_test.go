package conformance

import (
	"math"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The headings of docs/differences.md that explain a difference.
const (
	headingSurge       = "Pods that a rollout adds or lacks change nothing."
	headingOverflow    = "Sums do not overflow."
	headingAnew        = "An object that is made anew begins anew."
	headingLaidOver    = "A status write that meets a newer object is laid over that one."
	headingZero        = "No division by zero."
	headingUtilization = "The utilization that is shown is the one decided by"
	headingEmpty       = "A failed metric leaves no empty entry"
	headingDesired     = "`desiredReplicas` is the count from when it was last known, while it is not"
	headingOrder       = "`AmbiguousSelector` names objects in order"
	headingSeldom      = "A warning that goes on is told when it begins and every five minutes"
	headingReason      = "`SuccessfulRescale` always gives a reason"
	headingTransition  = "A condition's transition time moves only when its status changes."
)

// headings are all of them.
var headings = []string{
	headingSurge, headingOverflow, headingAnew, headingLaidOver, headingZero, headingUtilization, headingEmpty,
	headingDesired, headingOrder, headingTransition, headingSeldom, headingReason,
}

// explainer takes out of two views of one object what the listed differences
// explain. What it takes out it knows: where upstream shows something else than
// the defect would, or ours something else than its remedy, it stays.
type explainer struct {
	w      *world
	healed healed
	// explained counts the turns by heading.
	explained map[string]int
	// metrics are values that differ and were explained when they were written, as
	// upstream shows them and ours.
	metrics map[[2]string]bool
	// refused is when upstream's last write of the scale failed.
	refused metav1.Time
	// shown is what ours showed in the turn before.
	shown autoscalingv2.HorizontalPodAutoscalerStatus
	// unlike tells that upstream showed no desired count in the turn before where
	// ours did.
	unlike bool
	warnings
}

func newExplainer(w *world, h healed, explained map[string]int) *explainer {
	e := &explainer{w: w, healed: h, explained: explained}
	e.anew()
	return e
}

// anew forgets the object: another has its name.
func (e *explainer) anew() {
	e.metrics, e.refused, e.unlike = map[[2]string]bool{}, metav1.Time{}, false
	e.shown = autoscalingv2.HorizontalPodAutoscalerStatus{}
	e.warnings = warnings{}
}

// level changes upstream's view to what it would be without the listed defects.
func (e *explainer) level(up, our *view) {
	unlike := e.unlike
	shown := our.status
	for _, rule := range []struct {
		heading string
		apply   func(e *explainer, up, our *view) bool
	}{
		{headingEmpty, levelEmpty},
		{headingDesired, levelDesired},
		{headingOrder, levelOrder},
		{headingTransition, levelTransition},
		{headingReason, levelReason},
		{headingSeldom, levelEvents},
	} {
		if rule.apply(e, up, our) {
			e.explained[rule.heading]++
		}
	}
	e.levelValues(up, our)
	same := !unlike && !e.unlike && !slices.ContainsFunc(up.statuses, func(w statusWrite) bool { return w.before.DesiredReplicas == 0 })
	var without []string
	if e.levelWindow(up, our) {
		without = append(without, string(autoscalingv2.AbleToScale))
	}
	up.writesShown(same, without...)
	our.writesShown(same, without...)
	e.shown = shown
}

// levelWindow takes over what ours says of its windows where upstream was spared
// the largest values: what both recommend is beyond any bound, and not the same.
func (e *explainer) levelWindow(up, our *view) bool {
	if !e.healed.overflow || !e.w.overflows {
		return false
	}
	windows := []string{"ReadyForNewScale", "ScaleDownStabilized", "ScaleUpStabilized"}
	theirs, mine := conditionOf(&up.status, autoscalingv2.AbleToScale), conditionOf(&our.status, autoscalingv2.AbleToScale)
	if theirs != nil && mine != nil && slices.Contains(windows, theirs.Reason) && slices.Contains(windows, mine.Reason) {
		theirs.Reason, theirs.Message = mine.Reason, mine.Message
	}
	return true
}

func levelEmpty(_ *explainer, up, _ *view) bool {
	var kept []autoscalingv2.MetricStatus
	for _, m := range up.status.CurrentMetrics {
		if asJSON(&m) != `{"type":""}` {
			kept = append(kept, m)
		}
	}
	left := len(kept) < len(up.status.CurrentMetrics)
	up.status.CurrentMetrics = kept
	return left
}

// levelDesired takes over what ours shows where upstream's status never had a
// desired count: the present one when that became so, and the same from then on.
func levelDesired(e *explainer, up, our *view) bool {
	e.unlike = false
	if up.status.DesiredReplicas != 0 || our.status.DesiredReplicas == 0 {
		return false
	}
	known := e.shown.DesiredReplicas
	if known == 0 {
		known = our.status.CurrentReplicas
	}
	unknown := isFalse(conditionOf(&our.status, autoscalingv2.ScalingActive)) || isFalse(conditionOf(&our.status, autoscalingv2.AbleToScale))
	if !unknown || our.status.DesiredReplicas != known {
		return false
	}
	up.status.DesiredReplicas, e.unlike = known, true
	return true
}

// levelOrder takes what texts name any one of as ours has it.
func levelOrder(_ *explainer, up, our *view) bool {
	explained := false
	for i := range up.status.Conditions {
		theirs := &up.status.Conditions[i]
		mine := conditionOf(&our.status, theirs.Type)
		if mine != nil && theirs.Message != mine.Message && inOrder(theirs.Message) == inOrder(mine.Message) {
			theirs.Message, explained = mine.Message, true
		}
	}
	return explained
}

// levelReason takes over the reason of a change where upstream gives none.
func levelReason(_ *explainer, up, our *view) bool {
	explained := false
	for i := range up.events {
		theirs := &up.events[i]
		if theirs.reason != "SuccessfulRescale" && theirs.reason != "FailedRescale" {
			continue
		}
		before, after, empty := strings.Cut(theirs.message, "; reason: ")
		if !empty || after != "" && !strings.HasPrefix(after, "; error: ") {
			continue
		}
		for _, mine := range our.events {
			given := strings.TrimSuffix(strings.TrimPrefix(mine.message, before+"; reason: "), after)
			if mine.reason == theirs.reason && mine.message == before+"; reason: "+given+after && given != "" && sameTurn(mine, *theirs) {
				theirs.message, explained = mine.message, true
			}
		}
	}
	return explained
}

func sameTurn(a, b event) bool { return a.at.Equal(b.at) }

// levelTransition takes over when a refused write of the scale began: upstream's
// is the time of the last refusal, and ours has not moved since it began.
func levelTransition(e *explainer, up, our *view) bool {
	for _, write := range up.statuses {
		if c := conditionOf(&write.after, autoscalingv2.AbleToScale); isFalse(c) && c.Reason == "FailedUpdateScale" {
			e.refused = c.LastTransitionTime
		}
	}
	theirs, mine := conditionOf(&up.status, autoscalingv2.AbleToScale), conditionOf(&our.status, autoscalingv2.AbleToScale)
	before := conditionOf(&e.shown, autoscalingv2.AbleToScale)
	if !isFalse(theirs) || !isFalse(mine) || !isFalse(before) && len(our.turns()) < 2 {
		return false
	}
	unmoved := !isFalse(before) || before.LastTransitionTime.Equal(&mine.LastTransitionTime)
	if !unmoved || !theirs.LastTransitionTime.Equal(&e.refused) || !mine.LastTransitionTime.Before(&theirs.LastTransitionTime) {
		return false
	}
	theirs.LastTransitionTime = mine.LastTransitionTime
	return true
}

// levelValues takes over the shown values that a listed difference explains.
func (e *explainer) levelValues(up, our *view) {
	if len(up.status.CurrentMetrics) != len(our.status.CurrentMetrics) {
		return
	}
	for i := range up.status.CurrentMetrics {
		theirs, mine := &up.status.CurrentMetrics[i], &our.status.CurrentMetrics[i]
		pair := [2]string{asJSON(theirs), asJSON(mine)}
		if pair[0] == pair[1] {
			continue
		}
		if heading := e.valueDiffers(theirs, mine, our); heading != "" {
			e.explained[heading]++
			e.metrics[pair] = true
		}
		if e.metrics[pair] {
			takeValue(theirs, mine)
		}
	}
}

// valueDiffers is the heading that explains why another value is shown.
func (e *explainer) valueDiffers(theirs, mine *autoscalingv2.MetricStatus, our *view) string {
	turns := our.turns()
	if len(turns) == 0 || theirs.Type != mine.Type {
		return ""
	}
	switch mine.Type {
	case autoscalingv2.ObjectMetricSourceType:
		value := e.w.answers.object[mine.Object.Metric.Name].Value
		return e.totalDiffers(mine.Object.Metric.Name, value.MilliValue(), [2]autoscalingv2.MetricValueStatus{theirs.Object.Current, mine.Object.Current}, our)
	case autoscalingv2.ExternalMetricSourceType:
		usage := int64(0)
		for _, v := range e.w.answers.external[mine.External.Metric.Name] {
			if usage += v.Value.MilliValue(); usage < 0 {
				usage = math.MaxInt64
				break
			}
		}
		return e.totalDiffers(mine.External.Metric.Name, usage, [2]autoscalingv2.MetricValueStatus{theirs.External.Current, mine.External.Current}, our)
	case autoscalingv2.PodsMetricSourceType:
		if e.overflows(mine.Pods.Metric.Name, mine.Pods.Current.AverageValue.MilliValue()) {
			return headingOverflow
		}
	}
	if e.heard(mine, turns[len(turns)-1]) {
		return headingUtilization
	}
	return ""
}

// overflows tells whether upstream was spared a value so large, of which ours
// shows at least what is left of it among the most pods that there are.
func (e *explainer) overflows(metric string, shown int64) bool {
	const mostPods = 100
	least := e.w.overflow(metric)
	large := func(v resource.Quantity) bool { return least > 0 && v.Cmp(milliQuantity(least)) > 0 || v.Sign() < 0 }
	found := large(e.w.answers.object[metric].Value)
	for _, v := range e.w.answers.pods[metric] {
		found = found || large(v.Value)
	}
	for _, v := range e.w.answers.external[metric] {
		found = found || large(v.Value)
	}
	return e.healed.overflow && found && shown >= least/mostPods
}

// totalDiffers explains an average of a whole over pods, of which there are none,
// or which are not those that were asked for. It knows the usage.
func (e *explainer) totalDiffers(metric string, usage int64, shown [2]autoscalingv2.MetricValueStatus, our *view) string {
	if average, value := shown[1].AverageValue, shown[1].Value; average != nil && e.overflows(metric, average.MilliValue()) ||
		value != nil && e.overflows(metric, value.MilliValue()) {
		return headingOverflow
	}
	if shown[0].AverageValue == nil || shown[1].AverageValue == nil {
		return ""
	}
	asked := our.status.CurrentReplicas
	exist := max(0, asked+e.w.scale.delta)
	average := int64(math.Ceil(float64(usage) / float64(max(1, exist))))
	theirs := shown[0].AverageValue.MilliValue()
	switch {
	case shown[1].AverageValue.MilliValue() != average:
		return ""
	case e.healed.surge && exist != asked && (asked == 0 || theirs == int64(math.Ceil(float64(usage)/float64(asked)))):
		return headingSurge
	case exist == 0 && (theirs == math.MinInt64 || theirs == math.MaxInt64):
		// What a division by zero becomes depends on the processor.
		return headingZero
	}
	return ""
}

// takeValue takes over the value, and nothing that tells whose it is.
func takeValue(to, from *autoscalingv2.MetricStatus) {
	switch {
	case to.Resource != nil && from.Resource != nil:
		to.Resource.Current = from.Resource.Current
	case to.ContainerResource != nil && from.ContainerResource != nil:
		to.ContainerResource.Current = from.ContainerResource.Current
	case to.Pods != nil && from.Pods != nil:
		to.Pods.Current = from.Pods.Current
	case to.Object != nil && from.Object != nil:
		to.Object.Current = from.Object.Current
	case to.External != nil && from.External != nil:
		to.External.Current = from.External.Current
	}
}

func isWarning(e event) bool { return e.kind == corev1.EventTypeWarning }
