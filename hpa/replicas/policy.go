package replicas

import "time"

// Policy is what a HorizontalScalingPolicy, or the policy inside a
// HorizontalScaler, adds to an object. What is absent is as the flags say.
// Everything that depends on the outside (time zones, cron) is resolved before:
// a replay needs neither.
type Policy struct {
	// Source names where it comes from, as messages quote it:
	// "HorizontalScalingPolicy night".
	Source string `json:"source"`
	// Fault is why its latest spec is not in force, and what is in its place; the
	// other fields are those of the latest spec that could be read.
	Fault string `json:"fault,omitempty"`
	// Mode is ModeOff, ModeRecommend or ModeAuto; empty means ModeAuto. The
	// more cautious of this and the binary's mode holds.
	Mode           string         `json:"mode,omitempty"`
	UpscaleDelay   *time.Duration `json:"upscaleDelay,omitempty"`
	DownscaleDelay *time.Duration `json:"downscaleDelay,omitempty"`
	// MaxSampleAge is the age past which a sample counts as missing, 0 for none.
	MaxSampleAge time.Duration `json:"maxSampleAge,omitempty"`
	// SyncPeriod is the time between two turns, 0 for the flag's.
	SyncPeriod time.Duration `json:"syncPeriod,omitempty"`
	Pause      *Pause        `json:"pause,omitempty"`
	Fallback   *Fallback     `json:"fallback,omitempty"`
	// Windows are those of the schedules that are open, and of each schedule the
	// next that will open, in the order of their opening and then of their names.
	Windows []Window `json:"windows,omitempty"`
	// Activation are the thresholds, in thousandths, by the name of the External
	// or Object metric.
	Activation  map[string]int64 `json:"activation,omitempty"`
	Oscillation *Oscillation     `json:"oscillation,omitempty"`
}

// ModeOff leaves the target alone. A binary in mode Off decides nothing, so
// that only a policy's mode has this value.
const ModeOff = "Off"

// Pause stops one direction or both.
type Pause struct {
	// Direction is behavior.Up, behavior.Down or PauseBoth.
	Direction string `json:"direction"`
	// Until ends it, zero for never.
	Until time.Time `json:"until,omitzero"`
}

// PauseBoth stops both directions.
const PauseBoth = "Both"

// Fallback is what to do when no count could be had of the metrics for After.
type Fallback struct {
	// Policy is one of the Fallback constants.
	Policy   string        `json:"policy"`
	Replicas int32         `json:"replicas,omitempty"`
	After    time.Duration `json:"after,omitempty"`
}

// Policies of a fallback.
const (
	FallbackHold     = "Hold"
	FallbackReplicas = "Replicas"
	FallbackAtLeast  = "AtLeast"
	FallbackAtMost   = "AtMost"
)

// Window is one opening of a schedule. Min and Max are its bounds, nil where it
// has none.
type Window struct {
	Name   string    `json:"name"`
	Opens  time.Time `json:"opens"`
	Closes time.Time `json:"closes"`
	Min    *int32    `json:"min,omitempty"`
	Max    *int32    `json:"max,omitempty"`
	// RampUp is the time from Opens in which the minimum goes evenly from the
	// object's own to Min, RampDown the time before Closes in which it goes back.
	RampUp   time.Duration `json:"rampUp,omitempty"`
	RampDown time.Duration `json:"rampDown,omitempty"`
}

// Oscillation widens the tolerance while the count goes to and fro.
type Oscillation struct {
	Window time.Duration `json:"window"`
	// Changes of direction inside the window that count as oscillation.
	Changes int32 `json:"changes"`
	// Tolerance is used in place of a narrower one, as 0.2.
	Tolerance float64 `json:"tolerance"`
}
