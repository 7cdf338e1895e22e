package estimator

import (
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/histogram"
)

// State is what is remembered of one object between turns. It is a value: what
// changes it copies what it changes.
type State struct {
	// Learned is what is known of each container, by name.
	Learned map[string]Learned `json:"learned,omitempty"`
	// Windows are the running intervals of each pod's containers, by pod and
	// container.
	Windows map[string]map[string]Window `json:"windows,omitempty"`
	// Checkpointed is when all that was learned was last handed over to be written.
	Checkpointed time.Time `json:"checkpointed,omitzero"`
	// Unsaved are the containers that learned since they were handed over, sorted.
	Unsaved []string `json:"unsaved,omitempty"`
}

// Learned is the usage of all containers of one name.
type Learned struct {
	// CPU is in cores, Memory in bytes: one peak per container and interval.
	CPU    histogram.Histogram `json:"cpu,omitzero"`
	Memory histogram.Histogram `json:"memory,omitzero"`
	// First and Last are the times of the CPU samples, Samples their number.
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Samples int       `json:"samples,omitempty"`
	// CPUHalfLife and MemoryHalfLife are those that the histograms have, 0 for
	// those of the flags.
	CPUHalfLife    time.Duration `json:"cpuHalfLife,omitempty"`
	MemoryHalfLife time.Duration `json:"memoryHalfLife,omitempty"`
	// From is what this began from, nil for the container's own samples alone.
	From *Origin `json:"from,omitempty"`
}

// Window is one running container's interval.
type Window struct {
	LastCPU    time.Time `json:"lastCPU,omitzero"`
	LastMemory time.Time `json:"lastMemory,omitzero"`
	// End is the interval's.
	End time.Time `json:"end,omitzero"`
	// Peak is the highest usage seen in the interval and OOMPeak what a kill for
	// memory asks for, in bytes. The higher one is in the histogram, at End.
	Peak    int64 `json:"peak,omitempty"`
	OOMPeak int64 `json:"oomPeak,omitempty"`
	// Killed is the last kill for memory that was learned.
	Killed time.Time `json:"killed,omitzero"`
	// KilledWith is what the container requested then, in bytes.
	KilledWith int64 `json:"killedWith,omitempty"`
}

// Delta moves the state. Absent fields move nothing.
type Delta struct {
	// Learning is how the samples are to be folded. It is absent where there are
	// none.
	Learning *Learning `json:"learning,omitempty"`
	// Begun are containers that begin from other histories.
	Begun map[string]Learned `json:"begun,omitempty"`
	// Samples are by pod.
	Samples map[string]Samples `json:"samples,omitempty"`
	// Kills are by pod and container.
	Kills map[string]map[string]Kill `json:"kills,omitempty"`
	// Ended are pods that are gone, sorted.
	Ended []string `json:"ended,omitempty"`
	// Expired are containers that were not seen for the whole length of history,
	// sorted.
	Expired      []string  `json:"expired,omitempty"`
	Checkpointed time.Time `json:"checkpointed,omitzero"`
	// Saved are containers whose history was handed over to be written, sorted.
	Saved []string `json:"saved,omitempty"`
}

// Learning is the part of the configuration that folding depends on.
type Learning struct {
	CPUHalfLife    time.Duration `json:"cpuHalfLife"`
	MemoryHalfLife time.Duration `json:"memoryHalfLife"`
	PeakInterval   time.Duration `json:"peakInterval"`
	OOMRatio       float64       `json:"oomRatio"`
	OOMBytes       float64       `json:"oomBytes"`
	// Decay is present where a history has, or is to have, half-lives that are not
	// those of the flags.
	Decay *Decay `json:"decay,omitempty"`
	// Own are in place of it for single containers, by name; "*" are all that have
	// none.
	Own map[string]Tuning `json:"own,omitempty"`
}

// Samples are one pod's usage at a time, by container.
type Samples struct {
	At         time.Time          `json:"at"`
	Containers map[string]Amounts `json:"containers"`
}

// Kill is one kill for memory, of a container that requested so many bytes. Limit
// is what it was held to, and Most what a kill may ask for, where these count.
type Kill struct {
	At      time.Time `json:"at"`
	Request int64     `json:"request,omitempty"`
	Limit   int64     `json:"limit,omitempty"`
	Most    int64     `json:"most,omitempty"`
	// Asked is what the kill came to.
	Asked int64 `json:"asked,omitempty"`
}

// Commit folds a decision and its outcome into a new state.
func Commit(s State, d Decision, o decision.Outcome) State {
	s = Apply(s, d.Observed)
	if o.Result == decision.Succeeded {
		s = Apply(s, d.OnSuccess)
	}
	return s
}
