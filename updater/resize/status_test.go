package resize_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/updater/resize"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func condition(kind corev1.PodConditionType, reason, message string) corev1.PodCondition {
	return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(noon)}
}

func TestStatusOf(t *testing.T) {
	off := condition(corev1.PodResizePending, corev1.PodReasonDeferred, "")
	off.Status = corev1.ConditionFalse
	untimed := condition(corev1.PodResizeInProgress, "", "")
	untimed.LastTransitionTime = metav1.Time{}
	tests := map[string]struct {
		conditions []corev1.PodCondition
		want       *resize.Status
	}{
		"no condition":                   {},
		"another condition":              {conditions: []corev1.PodCondition{condition(corev1.PodReady, "", "")}},
		"a pending one that is over":     {conditions: []corev1.PodCondition{off}},
		"the first of the two tells":     {conditions: []corev1.PodCondition{off, condition(corev1.PodResizeInProgress, "", "")}},
		"deferred":                       {conditions: []corev1.PodCondition{condition(corev1.PodResizePending, corev1.PodReasonDeferred, "no room")}, want: &resize.Status{State: resize.Deferred, Since: noon, Message: "no room"}},
		"infeasible":                     {conditions: []corev1.PodCondition{condition(corev1.PodResizePending, corev1.PodReasonInfeasible, "")}, want: &resize.Status{State: resize.Infeasible, Since: noon}},
		"pending for another reason":     {conditions: []corev1.PodCondition{condition(corev1.PodResizePending, "Elsewhere", "")}, want: &resize.Status{State: resize.Unknown, Since: noon}},
		"in progress":                    {conditions: []corev1.PodCondition{condition(corev1.PodResizeInProgress, "", "")}, want: &resize.Status{State: resize.InProgress, Since: noon}},
		"in progress, and since unknown": {conditions: []corev1.PodCondition{untimed}, want: &resize.Status{State: resize.InProgress}},
		"an error":                       {conditions: []corev1.PodCondition{condition(corev1.PodResizeInProgress, corev1.PodReasonError, "cgroup")}, want: &resize.Status{State: resize.Failed, Since: noon, Message: "cgroup"}},
		"in progress with a message":     {conditions: []corev1.PodCondition{condition(corev1.PodResizeInProgress, "", "odd")}, want: &resize.Status{State: resize.Unknown, Since: noon, Message: "odd"}},
		"one in progress and the next pending": {
			conditions: []corev1.PodCondition{condition(corev1.PodResizeInProgress, "", ""), condition(corev1.PodResizePending, corev1.PodReasonDeferred, "")},
			want:       &resize.Status{State: resize.Deferred, Since: noon},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, resize.StatusOf(tc.conditions)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFollow(t *testing.T) {
	later := noon.Add(10 * time.Minute)
	tests := map[string]struct {
		status resize.Status
		before *resize.Attempt
		want   resize.Attempt
	}{
		"seen for the first time":         {want: resize.Attempt{Asked: "x", Since: later}},
		"begun before this process":       {status: resize.Status{Since: noon}, want: resize.Attempt{Asked: "x", Since: noon}},
		"a condition of the future":       {status: resize.Status{Since: later.Add(time.Hour)}, want: resize.Attempt{Asked: "x", Since: later}},
		"the same attempt":                {status: resize.Status{Since: later}, before: &resize.Attempt{Asked: "x", Since: noon}, want: resize.Attempt{Asked: "x", Since: noon}},
		"another attempt, same condition": {status: resize.Status{Since: noon}, before: &resize.Attempt{Asked: "y", Since: noon}, want: resize.Attempt{Asked: "x", Since: later}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.status.Follow(tc.before, "x", later)); diff != "" {
				t.Errorf("attempt (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGivenUp(t *testing.T) {
	tests := map[string]struct {
		state resize.State
		after time.Duration
		want  bool
	}{
		"deferred for five minutes": {resize.Deferred, 5 * time.Minute, false},
		"deferred for longer":       {resize.Deferred, 5*time.Minute + 1, true},
		"in progress for an hour":   {resize.InProgress, time.Hour, false},
		"in progress for longer":    {resize.InProgress, time.Hour + 1, true},
		"infeasible at once":        {resize.Infeasible, 0, true},
		"an error at once":          {resize.Failed, 0, true},
		"what is unknown, at once":  {resize.Unknown, 0, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := resize.Status{State: tc.state}
			if got := s.GivenUp(resize.Attempt{Since: noon}, noon.Add(tc.after)); got != tc.want {
				t.Errorf("given up %t, want %t", got, tc.want)
			}
		})
	}
}
