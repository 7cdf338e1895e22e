package controller

import (
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// EventRecorder is the part of client-go's events.EventRecorder that is used.
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// maxNote is the API's limit on an event's note.
const maxNote = 1024

// reported are the conditions whose transitions are events. Fresh is left out:
// Ready says the same, in the same moment.
var reported = []string{v1alpha1.ConditionReady, v1alpha1.ConditionSourceReachable}

// standsIn tells whether a policy stands in for a sample that is too old: Ready
// stays True then, and still no one should miss it.
func standsIn(ready *metav1.Condition) bool {
	return ready.Reason == query.ReasonHeld || ready.Reason == query.ReasonFloored
}

// report sends an event for each condition whose status changed. A condition
// that was Unknown or not there at all is reported when it says anything but
// that the source is reached, which is what everyone expects.
func (w *statusWriter) report(o *object, next v1alpha1.MetricSourceStatus) {
	if w.cfg.Events == nil {
		return
	}
	for _, conditionType := range reported {
		now := apimeta.FindStatusCondition(next.Conditions, conditionType)
		if now == nil || now.Status == metav1.ConditionUnknown {
			continue
		}
		before := apimeta.FindStatusCondition(o.status.Conditions, conditionType)
		switch {
		case before != nil && before.Status == now.Status && standsIn(before) == standsIn(now):
			continue
		case (before == nil || before.Status == metav1.ConditionUnknown) &&
			now.Status == metav1.ConditionTrue && conditionType == v1alpha1.ConditionSourceReachable:
			continue
		}
		kind := corev1.EventTypeNormal
		if now.Status == metav1.ConditionFalse || standsIn(now) {
			kind = corev1.EventTypeWarning
		}
		w.cfg.Events.Eventf(o.Object, nil, kind, now.Reason, "Poll", "%s", cut(now.Message, maxNote))
	}
}
