package replicas

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Component names the decisions of this package.
const Component = "hpa-controller"

// Kinds of the unit.
const (
	Kind       = "HorizontalPodAutoscaler"
	KindScaler = "HorizontalScaler"
)

// Rules are what the loop runs and a replay runs again.
func Rules() loop.Rules[Snapshot, State, Decision] {
	return loop.Rules[Snapshot, State, Decision]{Decide: Decide, Commit: Commit}
}

// Decision is what to do about one object and what to show on it.
type Decision struct {
	decision.Decision[int32, Delta]
	// Target is the object whose count is to be changed.
	Target Target `json:"target"`
	// Status is what the object is to show where the action did not fail.
	Status Status `json:"status"`
	// Cause is why the count is to change, for events: "cpu resource utilization
	// (percentage of request) above target".
	Cause string `json:"cause,omitempty"`
	// Events are those that do not depend on the outcome.
	Events []Event `json:"events,omitempty"`
	// Proposals are what each metric asked for, in the order of the spec.
	Proposals []Proposal `json:"proposals,omitempty"`
	// DesiredBefore is the desired count to show where the action failed.
	DesiredBefore int32 `json:"desiredBefore"`
	// Zero is the reason of the condition ScaledToZero after a change that was
	// carried out, empty where the feature is off.
	Zero string `json:"zero,omitempty"`
	// Failure classes what failed: FailureSpec, FailureInternal, or empty.
	Failure string `json:"failure,omitempty"`
}

// Reasons of the condition ScaledToZero.
const (
	ReasonZero    = "ScaledToZero"
	ReasonNotZero = "NotScaledToZero"
)

// Classes of failure, as the controller's metrics tell them apart.
const (
	FailureSpec     = "spec"
	FailureInternal = "internal"
)

// Reasons of a decision.
const (
	ReasonScaleUp     = "ScaleUp"
	ReasonScaleDown   = "ScaleDown"
	ReasonHold        = "Hold"
	ReasonDisabled    = "ScalingDisabled"
	ReasonNoScale     = "FailedGetScale"
	ReasonNoMetrics   = "FailedComputeMetricsReplicas"
	ReasonOtherWriter = "OtherControllerWrites"
)

// Proposal is what one metric asked for.
type Proposal struct {
	Type     string `json:"type"`
	Name     string `json:"name,omitempty"`
	Replicas int32  `json:"replicas"`
	Failure  string `json:"failure,omitempty"`
	// At is the time of the sample, where it has one.
	At time.Time `json:"at,omitzero"`
}

// Event is one event of the object. Type is Normal or Warning.
type Event struct {
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Types of events.
const (
	Normal  = "Normal"
	Warning = "Warning"
)

// Scope tells how much of the status is to be written.
type Scope string

// The scopes of a status.
const (
	// ScopeNone: the object is left alone.
	ScopeNone Scope = "None"
	// ScopeConditions: the listed conditions and nothing else.
	ScopeConditions Scope = "Conditions"
	// ScopeAll: the conditions, the counts and the metrics.
	ScopeAll Scope = "All"
)

// Status is the status to show, beside the conditions. Conditions that a
// decision does not list stay as they are, except those in Withdrawn.
type Status struct {
	Scope              Scope          `json:"scope"`
	CurrentReplicas    int32          `json:"currentReplicas"`
	DesiredReplicas    int32          `json:"desiredReplicas"`
	ObservedGeneration int64          `json:"observedGeneration,omitempty"`
	Metrics            []MetricStatus `json:"metrics,omitempty"`
	// Withdrawn are types of conditions to be removed.
	Withdrawn []string `json:"withdrawn,omitempty"`
	// ScaledAt is set where a change was carried out.
	ScaledAt time.Time `json:"scaledAt,omitzero"`
}

// MetricStatus is one entry of status.currentMetrics; quantities in thousandths.
type MetricStatus struct {
	Type               string                `json:"type"`
	Name               string                `json:"name"`
	Container          string                `json:"container,omitempty"`
	Object             *Target               `json:"object,omitempty"`
	Selector           *metav1.LabelSelector `json:"selector,omitempty"`
	Value              *int64                `json:"value,omitempty"`
	AverageValue       *int64                `json:"averageValue,omitempty"`
	AverageUtilization *int32                `json:"averageUtilization,omitempty"`
}

// Types of conditions.
const (
	AbleToScale    = "AbleToScale"
	ScalingActive  = "ScalingActive"
	ScalingLimited = "ScalingLimited"
	ScaledToZero   = "ScaledToZero"
	// OwnPrefix begins the types of all conditions of our own making.
	OwnPrefix = "Quartet"
	// Acting is False while another controller writes the object, and absent
	// otherwise.
	Acting = "QuartetActing"
	// Recommends shows what mode Recommend would do, and is absent in mode Auto.
	Recommends = "QuartetRecommends"
	// Policed is True while a policy is attached, and absent otherwise.
	Policed = "QuartetPolicy"
)
