package replicas

import (
	"fmt"
	"time"
)

// Setter is a field manager, other than this controller, that owns the count of
// the target.
type Setter struct {
	Manager string `json:"manager"`
	// Operation is Apply or Update, as managed fields have it. Who applies declares
	// the count, and sets it again each time.
	Operation string `json:"operation,omitempty"`
	// At is zero where nobody knows: the API server keeps no time of a write through
	// the scale subresource, which is how a person does it (kubectl scale).
	At time.Time `json:"at,omitzero"`
}

const (
	operationApply = "Apply"
	// setterShown is for how long after its last write another writer is told of.
	setterShown = time.Hour
)

// overwrote tells whether the setter stands in our way: it declares the count, or
// has set it after a change of ours.
func (s *Snapshot) overwrote() bool {
	if s.Setter == nil {
		return false
	}
	last := s.HPA.Status.LastScaleTime
	if s.Setter.Operation == operationApply {
		return true
	}
	// Our own change took the count away from whoever had it: who owns it without a
	// time has set it since.
	return !last.IsZero() && (s.Setter.At.IsZero() || s.Setter.At.After(last))
}

// setterNow is the snapshot's, with the time at which it was first seen where its own
// is not known.
func (t *turn) setterNow() *Setter {
	setter := *t.s.Setter
	if !setter.At.IsZero() {
		return &setter
	}
	setter.At = t.s.Now
	if before := t.state.Setter; before != nil && before.Manager == setter.Manager && before.Operation == setter.Operation &&
		before.At.After(t.s.HPA.Status.LastScaleTime) {
		setter.At = before.At
	}
	return &setter
}

// tellSetter shows who else sets the count. Our next change takes the count away
// from it, and what it sets then may come at once or in an hour: it is told of
// until it has been silent for so long. The count follows the metrics all the same.
func tellSetter(t *turn) verdict {
	t.judge(ReplicasWriter)
	setter := t.state.Setter
	if t.s.overwrote() {
		setter = t.setterNow()
		if t.state.Setter == nil || *t.state.Setter != *setter {
			t.d.Observed.Setter = setter
		}
	}
	if setter == nil {
		return proceed
	}
	declares := t.s.Setter != nil && *t.s.Setter == *setter && setter.Operation == operationApply
	if !declares && !t.s.Now.Before(setter.At.Add(setterShown)) {
		return proceed
	}
	remedy := "change minReplicas or maxReplicas to bound the count"
	if setter.Operation == operationApply {
		remedy = "leave spec.replicas out of what it applies"
	}
	t.notice(ReplicasWriter, ReasonOtherFieldManager, fmt.Sprintf(
		"%s set spec.replicas of %s at %s (%s): this controller goes on following the metrics, and writes once a sync period at the most; %s",
		setter.Manager, t.s.HPA.Target.text(), instant(setter.At), setter.Operation, remedy))
	return proceed
}
