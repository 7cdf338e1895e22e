package estimator

import (
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Component names the decisions of this package.
const Component = "vpa-recommender"

// Kind is the kind of the unit.
const Kind = "VerticalPodAutoscaler"

// Rules are what the loop runs and a replay runs again.
func Rules() loop.Rules[Snapshot, State, Decision] {
	return loop.Rules[Snapshot, State, Decision]{Decide: Decide, Commit: Commit}
}

// Decision is what to recommend for one object and what to show on it.
type Decision struct {
	decision.Decision[Recommendation, Delta]
	// Target is the object whose pods are learned from.
	Target Target `json:"target"`
	Status Status `json:"status"`
	// Checkpoints are the containers whose history is to be written, sorted.
	Checkpoints []string `json:"checkpoints,omitempty"`
	// Urgent are those of Checkpoints that are to be written at once, sorted: what
	// they learned is rare and would be missed most.
	Urgent []string `json:"urgent,omitempty"`
	// Events are those that do not depend on the outcome.
	Events []Event `json:"events,omitempty"`
}

// Scope tells how much of the status is to be written.
type Scope string

// The scopes of a status.
const (
	// ScopeConditions: the listed conditions and nothing else.
	ScopeConditions Scope = "Conditions"
	// ScopeUnmoved: the conditions and the observed generation. The recommendation
	// stays as it is shown.
	ScopeUnmoved Scope = "Unmoved"
	// ScopeAll: the conditions and the recommendation.
	ScopeAll Scope = "All"
)

// Status is the status to show, beside the conditions and the recommendation.
// Conditions that a decision does not list stay as they are, except those in
// Withdrawn.
type Status struct {
	Scope              Scope    `json:"scope"`
	ObservedGeneration int64    `json:"observedGeneration,omitempty"`
	Withdrawn          []string `json:"withdrawn,omitempty"`
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

// Reasons of a decision.
const (
	ReasonRecommended = "Recommended"
	// ReasonBounds: only bounds move, mostly because confidence grows.
	ReasonBounds      = "BoundsMoved"
	ReasonHold        = "Hold"
	ReasonNoSamples   = "NoSamples"
	ReasonOtherWriter = "OtherRecommenderWrites"
)

// Types of conditions. Those without Quartet in the name are upstream's.
const (
	RecommendationProvided = "RecommendationProvided"
	LowConfidence          = "LowConfidence"
	NoPodsMatched          = "NoPodsMatched"
	// FetchingHistory is True while what was learned before is not at hand, and
	// absent otherwise. Upstream has the type and never sets it.
	FetchingHistory   = "FetchingHistory"
	ConfigUnsupported = "ConfigUnsupported"
	ConfigDeprecated  = "ConfigDeprecated"
	// OOMAtMaximum is True while a container was lately killed for memory with the
	// most that its policy or the flags allow, and absent otherwise.
	OOMAtMaximum = "QuartetOOMAtMaximum"
	// Acting is False while another recommender writes the object, and absent
	// otherwise.
	Acting = "QuartetActing"
	// Recommends shows what mode Recommend would do, and is absent in mode Auto.
	Recommends = "QuartetRecommends"
)
