// Package behavior says how fast and how soon a replica count may change: the
// stabilization windows, the rate policies and the delays of a
// HorizontalPodAutoscaler, and the history that they look back on. It is pure
// and knows neither metrics nor pods nor objects of the API: a proposal goes in,
// a bounded proposal and the words for it come out.
package behavior

import "time"

// Directions of a change.
const (
	Up   = "Up"
	Down = "Down"
)

// Names of SelectPolicy and of policy types, as autoscaling/v2 has them.
const (
	SelectMax      = "Max"
	SelectMin      = "Min"
	SelectDisabled = "Disabled"

	Pods    = "Pods"
	Percent = "Percent"
)

// Rules bound the changes in one direction. They are the HPAScalingRules of
// autoscaling/v2 after defaulting.
type Rules struct {
	// WindowSeconds is the stabilization window.
	WindowSeconds int32 `json:"windowSeconds"`
	// Select is SelectMax, SelectMin or SelectDisabled.
	Select   string   `json:"select"`
	Policies []Policy `json:"policies,omitempty"`
	// Tolerance is the deviation of the usage ratio from 1 that is let pass, for
	// example 0.1. Nil leaves it to the configuration.
	Tolerance *float64 `json:"tolerance,omitempty"`
}

// Policy allows a change of Value pods, or per cent of the pods, in the period.
type Policy struct {
	// Type is Pods or Percent.
	Type          string `json:"type"`
	Value         int32  `json:"value"`
	PeriodSeconds int32  `json:"periodSeconds"`
}

// LongestPeriod is the longest period of the policies in seconds, 0 without any.
func (r Rules) LongestPeriod() int32 {
	var longest int32
	for _, p := range r.Policies {
		longest = max(longest, p.PeriodSeconds)
	}
	return longest
}

// Behavior is spec.behavior after defaulting.
type Behavior struct {
	Up   Rules `json:"up"`
	Down Rules `json:"down"`
}

// DefaultUp gives the rules of an unset scaleUp: the larger of 4 pods and 100 %
// in 15 seconds, without a window. It is what the API server fills in.
func DefaultUp() Rules {
	return Rules{
		Select: SelectMax,
		Policies: []Policy{
			{Type: Pods, Value: 4, PeriodSeconds: 15},
			{Type: Percent, Value: 100, PeriodSeconds: 15},
		},
	}
}

// DefaultDown gives the rules of an unset scaleDown: 100 % in 15 seconds, with
// the window of the configuration.
func DefaultDown(window time.Duration) Rules {
	return Rules{
		WindowSeconds: int32(window.Seconds()),
		Select:        SelectMax,
		Policies:      []Policy{{Type: Percent, Value: 100, PeriodSeconds: 15}},
	}
}

// Result is a bounded proposal and why it is what it is.
type Result struct {
	Replicas int32
	// Reason and Message are those of the condition to be shown.
	Reason  string
	Message string
	// Limited tells whether the proposal was changed.
	Limited bool
}

// Reasons of conditions, as upstream has them.
const (
	ReasonReady          = "ReadyForNewScale"
	ReasonUpStabilized   = "ScaleUpStabilized"
	ReasonDownStabilized = "ScaleDownStabilized"
	ReasonWithinRange    = "DesiredWithinRange"
	ReasonTooFew         = "TooFewReplicas"
	ReasonTooMany        = "TooManyReplicas"
	ReasonUpLimit        = "ScaleUpLimit"
	ReasonDownLimit      = "ScaleDownLimit"
	// ReasonBackoffUp and ReasonBackoffDown are the reasons that upstream had
	// while it had the delays, before 1.12.
	ReasonBackoffUp   = "BackoffUpscale"
	ReasonBackoffDown = "BackoffDownscale"
)

const (
	messageReady          = "recommended size matches current size"
	messageUpStabilized   = "recent recommendations were lower than current one, applying the lowest recent recommendation"
	messageDownStabilized = "recent recommendations were higher than current one, applying the highest recent recommendation"
	messageWithinRange    = "the desired count is within the acceptable range"
	messageTooFew         = "the desired replica count is less than the minimum replica count"
	messageTooMany        = "the desired replica count is more than the maximum replica count"
	messageUpLimit        = "the desired replica count is increasing faster than the maximum scale rate"
	messageDownLimit      = "the desired replica count is decreasing faster than the maximum scale rate"
	messageBackoffUp      = "the time since the previous scale is still within the upscale forbidden window"
	messageBackoffDown    = "the time since the previous scale is still within the downscale forbidden window"
)

// Range is the count in force and the bounds of the spec.
type Range struct {
	Current, Min, Max int32
}
