// Package decision holds the value that every loop of the suite produces: what
// was decided about one unit, by which steps, and how the loop's state moves
// because of it. It is pure data with no behaviour beyond folding and printing:
// it does not observe, act, log or know a clock, and it holds no rule of any
// component.
package decision

import (
	"fmt"
	"time"
)

// Unit names what one decision is about: one object for the HPA and VPA loops,
// one plan for the cluster scaler, one query for the metrics adapter.
type Unit struct {
	// Kind is the object's kind, for example HorizontalPodAutoscaler.
	Kind string `json:"kind"`
	// Namespace is empty for units of the whole cluster.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// UID tells an object from its namesake after a deletion. Empty where the
	// unit is no object of the API.
	UID string `json:"uid,omitempty"`
}

// String gives Kind namespace/name, or Kind name for units of the cluster.
func (u Unit) String() string {
	if u.Namespace == "" {
		return u.Kind + " " + u.Name
	}
	return u.Kind + " " + u.Namespace + "/" + u.Name
}

// Step is what one rule did to the value under decision. The ordered steps of a
// Decision are its whole explanation: events, conditions, log lines and
// `kubectl-quartet explain` render from them and compute no reason of their own.
type Step struct {
	// Rule is the rule's stable name, lower case with slashes, for example
	// "metric/external" or "limit/max-replicas". It is part of the API.
	Rule string `json:"rule"`
	// In and Out are the value before and after the rule, in the unit of the
	// decision (replicas, a quantity, nodes). They are equal where the rule
	// looked and changed nothing, and empty where the rule has no value.
	In  string `json:"in,omitempty"`
	Out string `json:"out,omitempty"`
	// Reason is one CamelCase word, for machines.
	Reason string `json:"reason"`
	// Message is one sentence, for people.
	Message string `json:"message"`
}

// Changed tells whether the rule changed the value.
func (s Step) Changed() bool { return s.In != s.Out }

// Fault is an error that was met while observing or deciding, as data: it
// belongs to the decision, is recorded and replayed, and blocks only what the
// rules say it blocks.
type Fault struct {
	// Source is what failed, for example "external metric shop/orders-depth".
	Source string `json:"source"`
	// Reason is one CamelCase word, for machines.
	Reason string `json:"reason"`
	// Message is the error's text. It never holds a credential.
	Message string `json:"message"`
}

// Error makes a Fault usable as an error.
func (f Fault) Error() string { return f.Source + ": " + f.Message }

// Status is a condition's status: True, False or Unknown.
type Status string

// The three statuses of a condition.
const (
	True    Status = "True"
	False   Status = "False"
	Unknown Status = "Unknown"
)

// Condition is a condition that the decision wants the object to show. Times of
// transition are kept by the shell that writes it.
type Condition struct {
	Type    string `json:"type"`
	Status  Status `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Decision is the result of a pure Decide. V is the value decided on (replicas,
// a recommendation, sizes of pools) and D the component's delta of state.
//
// Components embed it and add what else they render, for example the status of
// the object. Everything in a Decision must survive JSON unchanged, since the
// ledger and replay compare it in that form: no nil-versus-empty meaning, no
// unexported fields, times in UTC without a monotonic reading.
type Decision[V, D any] struct {
	Component string `json:"component"`
	Unit      Unit   `json:"unit"`
	// At is the snapshot's Now.
	At time.Time `json:"at"`
	// From is the value in force when the input was gathered, To the value
	// wanted. They are equal where nothing is to be done.
	From V `json:"from"`
	To   V `json:"to"`
	// Act tells whether the actuator has something to do. It is false in modes
	// Off and Recommend whatever From and To say.
	Act bool `json:"act"`
	// Reason and Message sum the steps up: why To is what it is.
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	Steps   []Step `json:"steps,omitempty"`
	// Faults are the errors met, as data.
	Faults     []Fault     `json:"faults,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	// Observed is applied to the state whatever happens.
	Observed D `json:"observed"`
	// OnSuccess is applied only when the action succeeded.
	OnSuccess D `json:"onSuccess"`
}

// Subject is the unit that was decided on. With When it lets the loop and the
// ledger handle decisions of any component.
func (d Decision[V, D]) Subject() Unit { return d.Unit }

// When is the time of the snapshot that was decided on.
func (d Decision[V, D]) When() time.Time { return d.At }

// Wanted tells whether the actuator has something to do.
func (d Decision[V, D]) Wanted() bool { return d.Act }

// Value is what the loop and the ledger need of a decision of any component.
// Every type that embeds a Decision has it.
type Value interface {
	Subject() Unit
	When() time.Time
	Wanted() bool
}

// Result is how an action ended.
type Result string

// The results an action can have.
const (
	// Unneeded: the decision asked for nothing.
	Unneeded Result = "Unneeded"
	// Succeeded: the cluster took the action.
	Succeeded Result = "Succeeded"
	// Failed: the action was tried and refused, or its result is not known.
	Failed Result = "Failed"
	// Withheld: the action was wanted and not tried, as in a dry run.
	Withheld Result = "Withheld"
)

// Outcome is what became of a decision's action. It is recorded beside the
// decision: with it a replay can fold the same state.
type Outcome struct {
	Result Result `json:"result"`
	// Error is the failure's text where Result is Failed.
	Error string `json:"error,omitempty"`
}

// Failure makes the outcome of an action that failed with err.
func Failure(doing string, err error) Outcome {
	return Outcome{Result: Failed, Error: fmt.Sprintf("%s: %v", doing, err)}
}
