package resize

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// State is how a resize stands that was asked for and is not done.
type State string

// The states of a resize.
const (
	// Deferred: the node has no room now, and may have later.
	Deferred State = "Deferred"
	// Infeasible: the node can never have room, or cannot resize the pod at all.
	Infeasible State = "Infeasible"
	// InProgress: the kubelet is at it.
	InProgress State = "InProgress"
	// Failed: the kubelet met an error, and tries again.
	Failed State = "Error"
	// Unknown: the pod's conditions say what this version does not know.
	Unknown State = "Unknown"
)

// How long the two states that may end well are waited for.
const (
	DeferredTimeout   = 5 * time.Minute
	InProgressTimeout = time.Hour
)

// Status is what a pod's conditions say of its resize.
type Status struct {
	State State `json:"state"`
	// Since is when the condition last changed; zero where it does not say.
	Since time.Time `json:"since,omitzero"`
	// Message is the kubelet's.
	Message string `json:"message,omitempty"`
}

// StatusOf reads a pod's conditions; nil where no resize is under way. As
// upstream has it, the first condition of the two types tells whether one is, and
// a pending resize counts before one that is in progress.
func StatusOf(conditions []corev1.PodCondition) *Status {
	first := slices.IndexFunc(conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress
	})
	if first < 0 || conditions[first].Status != corev1.ConditionTrue {
		return nil
	}
	if c := find(conditions, corev1.PodResizePending); c != nil {
		switch c.Reason {
		case corev1.PodReasonDeferred:
			return status(Deferred, c)
		case corev1.PodReasonInfeasible:
			return status(Infeasible, c)
		}
		return status(Unknown, c)
	}
	c := find(conditions, corev1.PodResizeInProgress)
	switch {
	case c.Reason == "" && c.Message == "":
		return status(InProgress, c)
	case c.Reason == corev1.PodReasonError:
		return status(Failed, c)
	}
	return status(Unknown, c)
}

func status(state State, c *corev1.PodCondition) *Status {
	out := &Status{State: state, Message: c.Message}
	if !c.LastTransitionTime.IsZero() {
		out.Since = c.LastTransitionTime.UTC()
	}
	return out
}

func find(conditions []corev1.PodCondition, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

// Attempt is one resize from when it was first seen not to be done.
type Attempt struct {
	// Asked is what the pod's spec asks for, as Spec.Text writes it. Another value
	// is another attempt.
	Asked string    `json:"asked,omitempty"`
	Since time.Time `json:"since"`
}

// Follow gives the attempt that a pod is at. before is what is remembered of the
// pod, nil where nothing is. An attempt that began before this process did is
// known by the condition's own time; one that follows another, while the
// condition stays, begins now.
func (s Status) Follow(before *Attempt, asked string, now time.Time) Attempt {
	switch {
	case before != nil && before.Asked == asked:
		return *before
	case before == nil && !s.Since.IsZero() && s.Since.Before(now):
		return Attempt{Asked: asked, Since: s.Since}
	}
	return Attempt{Asked: asked, Since: now}
}

// Until is how long the attempt is waited for. ok is false in states that are not
// waited for at all.
func (s Status) Until(a Attempt) (at time.Time, ok bool) {
	switch s.State {
	case Deferred:
		return a.Since.Add(DeferredTimeout), true
	case InProgress:
		return a.Since.Add(InProgressTimeout), true
	}
	return time.Time{}, false
}

// GivenUp tells whether a resize will not end well, or not soon enough.
func (s Status) GivenUp(a Attempt, now time.Time) bool {
	until, waits := s.Until(a)
	return !waits || now.After(until)
}
