package eviction

import "fmt"

// Result is what became of one candidate.
type Result struct {
	Pod string `json:"pod"`
	// Error is why it was not evicted, in the API server's words; empty where it
	// was.
	Error string `json:"error,omitempty"`
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
	case ReasonOtherWriter, ReasonAdmissionAway:
		out = append(out, Event{Type: Warning, Reason: d.Reason, Message: d.Message})
	}
	for _, r := range results {
		if r.Error != "" {
			out = append(out, Event{Type: Warning, Reason: "EvictionRefused", Message: fmt.Sprintf("Could not evict Pod %s: %s", r.Pod, r.Error)})
			continue
		}
		out = append(out, Event{Type: Normal, Reason: "EvictedPod", Message: fmt.Sprintf("VPA Updater evicted Pod %s to apply resource recommendation.", r.Pod)})
	}
	return out
}
