package conformance

import (
	"regexp"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// The headings of docs/differences.md that explain a difference.
const (
	headingSurge       = "Pods that a rollout adds or lacks change nothing."
	headingOverflow    = "Sums do not overflow."
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
	headingSurge, headingOverflow, headingZero, headingUtilization, headingEmpty,
	headingDesired, headingOrder, headingTransition, headingSeldom, headingReason,
}

// explainer takes out of two views what the listed differences explain. It keeps
// what it has explained: a status stays as it is while nothing writes it.
type explainer struct {
	w *world
	// explained counts the turns by heading.
	explained map[string]int
	// metrics are values that differ and were explained when they were written, as
	// upstream shows them and ours.
	metrics map[[2]string]bool
	// told are our events and when they were told; heard counts upstream's.
	told  map[event]time.Time
	heard int
	// counted is the count that the turn began with.
	counted int32
}

func newExplainer(w *world) *explainer {
	return &explainer{w: w, explained: map[string]int{}, metrics: map[[2]string]bool{}, told: map[event]time.Time{}}
}

// level changes upstream's view to what it would be without the listed defects.
func (e *explainer) level(up, our *view) {
	e.counted = our.status.CurrentReplicas
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
}

func levelEmpty(_ *explainer, up, _ *view) bool {
	var kept []autoscalingv2.MetricStatus
	for _, m := range up.status.CurrentMetrics {
		if m.Type != "" {
			kept = append(kept, m)
		}
	}
	left := len(kept) < len(up.status.CurrentMetrics)
	up.status.CurrentMetrics = kept
	return left
}

func levelDesired(_ *explainer, up, our *view) bool {
	if up.status.DesiredReplicas != 0 || our.status.DesiredReplicas == 0 {
		return false
	}
	for _, c := range our.status.Conditions {
		unknown := c.Type == autoscalingv2.ScalingActive || c.Type == autoscalingv2.AbleToScale
		if unknown && c.Status == corev1.ConditionFalse {
			up.status.DesiredReplicas = our.status.DesiredReplicas
			return true
		}
	}
	return false
}

// missingRequest is how a pod without a request is told of. Upstream tells of any
// one of them, and so of what that one lacks.
var missingRequest = regexp.MustCompile(`(missing request for \S+ in container \S+ of|missing pod-level request for \S+ in|container \S+ not found in) Pod web-\d+`)

// levelOrder takes the pod that is named for lack of a request as ours has it.
func levelOrder(_ *explainer, up, our *view) bool {
	explained := false
	for i := range min(len(up.status.Conditions), len(our.status.Conditions)) {
		theirs, mine := &up.status.Conditions[i], our.status.Conditions[i]
		if theirs.Message == mine.Message || !missingRequest.MatchString(theirs.Message) || !missingRequest.MatchString(mine.Message) {
			continue
		}
		if missingRequest.ReplaceAllString(theirs.Message, "") == missingRequest.ReplaceAllString(mine.Message, "") {
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
			if mine.reason == theirs.reason && strings.HasPrefix(mine.message, before+"; reason: ") && strings.HasSuffix(mine.message, after) {
				theirs.message, explained = mine.message, true
			}
		}
	}
	return explained
}

const (
	// recorded is how many events upstream's recorder surely writes: of one object
	// it drops what is more than 25 and one in five minutes.
	recorded = 20
	// seldom is after what time we tell of a warning again.
	seldom = 5 * time.Minute
)

// levelEvents takes out the warnings that go on, and compares the others once
// each: upstream's recorder joins those that are alike.
func levelEvents(e *explainer, up, our *view) bool {
	e.heard += len(up.events)
	up.events, our.events = once(up.events), once(our.events)
	for _, mine := range our.events {
		e.told[mine] = e.w.now
	}
	if e.heard > recorded {
		up.events, our.events = nil, nil
		return false
	}
	all := len(up.events)
	up.events = slices.DeleteFunc(up.events, func(theirs event) bool {
		at, told := e.told[theirs]
		return theirs.kind == corev1.EventTypeWarning && told && at != e.w.now && e.w.now.Sub(at) <= seldom
	})
	return len(up.events) < all
}

// once orders events and drops doubles. Pods in them are not told apart.
func once(events []event) []event {
	out := slices.Clone(events)
	for i := range out {
		out[i].message = missingRequest.ReplaceAllString(out[i].message, "a request is not known")
	}
	slices.SortFunc(out, func(a, b event) int {
		return strings.Compare(a.kind+a.reason+a.message, b.kind+b.reason+b.message)
	})
	return slices.Compact(out)
}

// levelTransition takes over when a refused write of the scale began.
func levelTransition(_ *explainer, up, our *view) bool {
	for i := range min(len(up.status.Conditions), len(our.status.Conditions)) {
		theirs, mine := &up.status.Conditions[i], our.status.Conditions[i]
		if theirs.Type == autoscalingv2.AbleToScale && mine.Type == theirs.Type && mine.Status == corev1.ConditionFalse &&
			theirs.Status == mine.Status && mine.LastTransitionTime.Before(&theirs.LastTransitionTime) {
			theirs.LastTransitionTime = mine.LastTransitionTime
			return true
		}
	}
	return false
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
		if heading := e.valueDiffers(mine); heading != "" {
			e.explained[heading]++
			e.metrics[pair] = true
		}
		if e.metrics[pair] {
			takeValue(theirs, mine)
		}
	}
}

// valueDiffers is the heading that explains why another value is shown.
func (e *explainer) valueDiffers(m *autoscalingv2.MetricStatus) string {
	unheard := false
	switch m.Type {
	case autoscalingv2.ResourceMetricSourceType:
		unheard = e.unheard(e.w.sampledUsage(m.Resource.Name, ""), m.Resource.Name)
	case autoscalingv2.ContainerResourceMetricSourceType:
		c := m.ContainerResource
		unheard = e.unheard(e.w.sampledUsage(c.Name, c.Container), c.Name)
	case autoscalingv2.PodsMetricSourceType:
		sampled := map[string]bool{}
		for _, v := range e.w.answers.pods[m.Pods.Metric.Name] {
			sampled[v.DescribedObject.Name] = true
		}
		unheard = e.unheard(sampled, "")
	case autoscalingv2.ObjectMetricSourceType:
		return e.averageDiffers(m.Object.Current)
	case autoscalingv2.ExternalMetricSourceType:
		return e.averageDiffers(m.External.Current)
	}
	if unheard {
		return headingUtilization
	}
	return ""
}

// sampledUsage are the pods that have a usage of the resource, in all containers
// or the one that is named.
func (w *world) sampledUsage(what corev1.ResourceName, container string) map[string]bool {
	sampled := map[string]bool{}
	for i := range w.answers.resources {
		item := &w.answers.resources[i]
		found := false
		for _, c := range item.Containers {
			if container != "" && c.Name != container {
				continue
			}
			if _, found = c.Usage[what]; !found {
				break
			}
		}
		sampled[item.Name] = found
	}
	return sampled
}

// averageDiffers explains an average over pods of which there are none.
func (e *explainer) averageDiffers(current autoscalingv2.MetricValueStatus) string {
	switch {
	case current.AverageValue == nil:
		return ""
	case e.w.scale.delta != 0:
		return headingSurge
	case e.counted == 0:
		return headingZero
	}
	return ""
}

// unheard tells whether some pod has no say in a metric: it has not begun, has no
// sample, or may be starting still, which is asked of CPU only.
func (e *explainer) unheard(sampled map[string]bool, what corev1.ResourceName) bool {
	for name, pod := range e.w.pods {
		starting := pod.Status.StartTime == nil || readiness(pod) == "" || readiness(pod) == corev1.ConditionFalse ||
			pod.Status.StartTime.Add(e.w.options.Rules.CPUInitializationPeriod).After(e.w.now)
		switch {
		case pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed:
		case pod.Status.Phase == corev1.PodPending, !sampled[name], what == corev1.ResourceCPU && starting:
			return true
		}
	}
	return false
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
