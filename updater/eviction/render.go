package eviction

import "fmt"

// Result is what became of one candidate.
type Result struct {
	Pod string `json:"pod"`
	// Resize tells a resize from an eviction.
	Resize bool `json:"resize,omitempty"`
	// Rollout tells that Pod is a Deployment that was to be rolled out.
	Rollout bool `json:"rollout,omitempty"`
	// NeverFits tells that the node can never have room for the resize.
	NeverFits bool `json:"neverFits,omitempty"`
	// Error is why it was not done, in the API server's words; empty where it was.
	Error string `json:"error,omitempty"`
}

// Verb is what was tried.
func (r Result) Verb() string {
	if r.Resize {
		return "resize"
	}
	if r.Rollout {
		return "roll out"
	}
	return "evict"
}

// Event is one event of the object. Type is Normal or Warning.
type Event struct {
	Type, Reason, Message string
}

// Types of events.
const (
	Normal  = "Normal"
	Warning = "Warning"
)

// Events renders what the object shows of a decision and its results.
func Events(d Decision, results []Result) []Event {
	var out []Event
	switch d.Reason {
	case ReasonOtherWriter, ReasonAdmissionAway, ReasonBreakerOpen:
		out = append(out, Event{Type: Warning, Reason: d.Reason, Message: d.Message})
	}
	for _, r := range results {
		switch {
		case r.Rollout:
			out = append(out, rolloutEvent(r))
		case r.Resize && r.Error != "":
			out = append(out, Event{Type: Warning, Reason: "ResizeRefused", Message: fmt.Sprintf("Could not resize Pod %s in place: %s", r.Pod, r.Error)})
		case r.Error != "":
			out = append(out, Event{Type: Warning, Reason: "EvictionRefused", Message: fmt.Sprintf("Could not evict Pod %s: %s", r.Pod, r.Error)})
		case !r.Resize:
			out = append(out, Event{Type: Normal, Reason: "EvictedPod", Message: fmt.Sprintf("VPA Updater evicted Pod %s to apply resource recommendation.", r.Pod)})
		}
	}
	return out
}

// PodEvent is one event of a pod. Lasting tells that it holds from turn to turn,
// and is told when it begins.
type PodEvent struct {
	PodRef
	Event
	Lasting bool
}

// PodEvents renders what pods show of a decision and its results, as upstream
// words it.
func PodEvents(d Decision, results []Result) []PodEvent {
	var out []PodEvent
	for _, p := range d.Skipped {
		out = append(out, PodEvent{PodRef: p, Lasting: true, Event: Event{Type: Normal, Reason: "InPlaceResizeSkipped", Message: "Previously recorded in-place update was infeasible, " +
			"current recommendation is not lower than previous, skipping resize"}})
	}
	uids := map[string]string{}
	for _, c := range d.Candidates {
		uids[c.Pod] = c.UID
	}
	for _, u := range d.Unboosts {
		uids[u.Name] = u.UID
	}
	for _, r := range results {
		e := PodEvent{PodRef: PodRef{Name: r.Pod, UID: uids[r.Pod]}}
		switch {
		case r.Error != "", r.Rollout:
			continue
		case r.Resize:
			e.Event = Event{Type: Normal, Reason: "InPlaceResizedByVPA", Message: "Pod was resized in place by VPA Updater."}
		default:
			e.Event = Event{Type: Normal, Reason: "EvictedByVPA", Message: "Pod was evicted by VPA Updater to apply resource recommendation."}
		}
		out = append(out, e)
	}
	return out
}
