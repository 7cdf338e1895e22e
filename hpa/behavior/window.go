package behavior

import (
	"slices"
	"time"
)

// Recommendation is what the metrics asked for at one time, before any bound.
type Recommendation struct {
	At       time.Time `json:"at"`
	Replicas int32     `json:"replicas"`
}

// Slot is a recommendation and its place in the history: the index it
// overwrites, or the length of the history where it is appended.
type Slot struct {
	Index int `json:"index"`
	Recommendation
}

// Remember gives the history with the slot filled. It does not change its
// argument.
func Remember(history []Recommendation, s Slot) []Recommendation {
	if s.Index >= len(history) {
		return append(slices.Clip(history), s.Recommendation)
	}
	out := slices.Clone(history)
	out[s.Index] = s.Recommendation
	return out
}

// StabilizeDown holds the count at the highest recommendation inside the window.
// It is the rule of objects without spec.behavior. The recommendation of this
// turn goes to the returned slot: the last one outside the window gives its
// place, as upstream does it, so that a window that is lengthened later sees the
// same past.
func StabilizeDown(history []Recommendation, now time.Time, window time.Duration, proposal int32) (Result, Slot) {
	slot := Slot{Index: len(history), Recommendation: Recommendation{At: now, Replicas: proposal}}
	cutoff := now.Add(-window)
	highest := proposal
	for i, r := range history {
		if r.At.Before(cutoff) {
			slot.Index = i
		} else {
			highest = max(highest, r.Replicas)
		}
	}
	if highest == proposal {
		return ready(proposal), slot
	}
	return Result{Replicas: highest, Reason: ReasonDownStabilized, Message: messageDownStabilized, Limited: true}, slot
}

// Stabilize brings the proposal between the lowest recommendation inside the
// up window and the highest inside the down window, moving as little from the
// current count as these allow. It is the rule of objects with spec.behavior.
func Stabilize(history []Recommendation, now time.Time, b Behavior, current, proposal int32) (Result, Slot) {
	slot := Slot{Index: len(history), Recommendation: Recommendation{At: now, Replicas: proposal}}
	upCutoff := now.Add(-seconds(b.Up.WindowSeconds))
	downCutoff := now.Add(-seconds(b.Down.WindowSeconds))
	lowest, highest := proposal, proposal
	for i, r := range history {
		if r.At.After(upCutoff) {
			lowest = min(lowest, r.Replicas)
		}
		if r.At.After(downCutoff) {
			highest = max(highest, r.Replicas)
		}
		if r.At.Before(upCutoff) && r.At.Before(downCutoff) {
			slot.Index = i
		}
	}
	stable := min(max(current, lowest), highest)
	switch {
	case stable == proposal:
		return ready(proposal), slot
	case proposal >= current:
		return Result{Replicas: stable, Reason: ReasonUpStabilized, Message: messageUpStabilized, Limited: true}, slot
	default:
		return Result{Replicas: stable, Reason: ReasonDownStabilized, Message: messageDownStabilized, Limited: true}, slot
	}
}

func ready(proposal int32) Result {
	return Result{Replicas: proposal, Reason: ReasonReady, Message: messageReady}
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
