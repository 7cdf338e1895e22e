package replicas

import (
	"fmt"
	"slices"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Report is what a decision and its outcome show on the object.
type Report struct {
	Status     Status
	Conditions []decision.Condition
	Events     []Event
}

// Render completes the status and the events of a decision by what became of
// it. It is the only place where these come from.
func Render(d Decision, o decision.Outcome) Report {
	r := Report{
		Status:     d.Status,
		Conditions: slices.Clone(d.Conditions),
		Events:     slices.Clone(d.Events),
	}
	switch o.Result {
	case decision.Succeeded:
		r.succeeded(d)
	case decision.Failed:
		r.failed(d, o)
	}
	return r
}

func (r *Report) succeeded(d Decision) {
	r.Status.ScaledAt = d.At
	r.condition(AbleToScale, decision.True, "SucceededRescale",
		fmt.Sprintf("the HPA controller was able to update the target scale to %d", d.To))
	switch d.Zero {
	case ReasonZero:
		r.condition(ScaledToZero, decision.True, ReasonZero, "the HPA controller scaled the workload to zero")
	case ReasonNotZero:
		r.condition(ScaledToZero, decision.False, ReasonNotZero, "the HPA controller did not scale the workload to zero")
	}
	r.Events = append(r.Events, Event{Type: Normal, Reason: "SuccessfulRescale", Message: d.Message})
}

func (r *Report) failed(d Decision, o decision.Outcome) {
	r.Status.DesiredReplicas = d.DesiredBefore
	r.condition(AbleToScale, decision.False, "FailedUpdateScale", "the HPA controller was unable to update the target scale: "+o.Error)
	r.Events = append(r.Events, Event{Type: Warning, Reason: "FailedRescale", Message: d.Message + "; error: " + o.Error})
}

func (r *Report) condition(kind string, status decision.Status, reason, message string) {
	r.Conditions = setCondition(r.Conditions, decision.Condition{Type: kind, Status: status, Reason: reason, Message: message})
}
