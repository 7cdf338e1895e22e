package verticalpolicy

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Kind is the kind of a policy.
const Kind = "VerticalScalingPolicy"

// The modes of a policy and of a binary. A binary in mode Off decides nothing.
const (
	ModeOff       = "Off"
	ModeRecommend = "Recommend"
	ModeAuto      = "Auto"
)

// caution orders the modes, the most cautious first.
var caution = []string{ModeOff, ModeRecommend, ModeAuto}

// Attached is what all three projections begin with: which policy holds for the
// object, and how far it lets a binary go.
type Attached struct {
	// Name is the policy's, in the namespace of the object.
	Name string `json:"name"`
	// Mode is ModeOff, ModeRecommend or ModeAuto; empty means ModeAuto.
	Mode string `json:"mode,omitempty"`
}

// Source names the policy in messages, as "VerticalScalingPolicy web".
func (a Attached) Source() string { return Kind + " " + a.Name }

// More gives the more cautious of the policy's mode and the binary's. One of the
// policy's that is not known counts as unset.
func (a Attached) More(binary string) string {
	policy := slices.Index(caution, a.Mode)
	if policy < 0 || policy >= slices.Index(caution, binary) {
		return binary
	}
	return caution[policy]
}

// Recommender is what vpa-recommender takes from a policy.
type Recommender struct {
	Attached
	CPU    Estimation `json:"cpu,omitzero"`
	Memory Estimation `json:"memory,omitzero"`
	// MemoryWindow is the time that gives one peak of memory and MemoryWindows the
	// number of them that history is kept for; 0 is as the flags say.
	MemoryWindow  time.Duration `json:"memoryWindow,omitempty"`
	MemoryWindows int64         `json:"memoryWindows,omitempty"`
	// Bound has a recommendation stay where a horizontal scaler follows the same
	// requests.
	Bound bool `json:"bound,omitempty"`
	// ColdStart are StartWorkload, StartImage and StartFloor in the order in which
	// they are tried.
	ColdStart []string `json:"coldStart,omitempty"`
}

// Where the first recommendation of a new container comes from.
const (
	StartWorkload = "Workload"
	StartImage    = "Image"
	StartFloor    = "Floor"
)

// Estimation is what a policy says of one resource. What is 0 or nil is as the
// flags say. Parts are of 1, as 0.9.
type Estimation struct {
	Target float64 `json:"target,omitempty"`
	Lower  float64 `json:"lower,omitempty"`
	Upper  float64 `json:"upper,omitempty"`
	// Margin is the part that is added to what was seen.
	Margin *float64 `json:"margin,omitempty"`
	// HalfLife is the time in which a sample loses half of its weight.
	HalfLife time.Duration `json:"halfLife,omitempty"`
}

// Updater is what vpa-updater takes from a policy.
type Updater struct {
	Attached
	Disruption Disruption `json:"disruption,omitzero"`
	// Breaker is nil where the policy states none.
	Breaker *Breaker `json:"breaker,omitempty"`
	// RequireFit has a pod updated only where it will fit afterwards.
	RequireFit bool `json:"requireFit,omitempty"`
}

// When a new pod comes before the old one goes.
const (
	SurgeNever         = "Never"
	SurgeSingleReplica = "SingleReplica"
	SurgeAlways        = "Always"
)

// Disruption bounds what updates may do to a workload.
type Disruption struct {
	// MaxUnavailable is how many pods may be under update at once, a number or a
	// percentage; nil states none.
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// MinInterval is the least time between two updates of one pod's place.
	MinInterval time.Duration `json:"minInterval,omitempty"`
	// Windowed tells that pods may be evicted only inside of Windows: those that
	// are open at the time of the snapshot, and the next of each. A window of the
	// policy that cannot be read is never open.
	Windowed bool     `json:"windowed,omitempty"`
	Windows  []Window `json:"windows,omitempty"`
	// Surge is SurgeNever, SurgeSingleReplica or SurgeAlways; empty means
	// SurgeNever.
	Surge string `json:"surge,omitempty"`
}

// Window is one opening of a window, in UTC.
type Window struct {
	Opens  time.Time `json:"opens"`
	Closes time.Time `json:"closes"`
}

// Open tells whether pods may be evicted at a time, as far as windows go, and
// when that changes next: zero where it never does.
func (d Disruption) Open(now time.Time) (open bool, until time.Time) {
	if !d.Windowed {
		return true, time.Time{}
	}
	var closes, opens time.Time
	for _, w := range d.Windows {
		switch {
		case w.Opens.After(now):
			if opens.IsZero() || w.Opens.Before(opens) {
				opens = w.Opens
			}
		case w.Closes.After(now):
			if w.Closes.After(closes) {
				closes = w.Closes
			}
		}
	}
	if closes.IsZero() {
		return false, opens
	}
	return true, closes
}

// Breaker stops updates of a workload that do harm.
type Breaker struct {
	// Failures in a row after which updates stop.
	Failures int32 `json:"failures,omitempty"`
	// ReadyWithin is the time that an updated pod has, ResetAfter that after which
	// updates are tried again.
	ReadyWithin time.Duration `json:"readyWithin,omitempty"`
	ResetAfter  time.Duration `json:"resetAfter,omitempty"`
}

// Admission is what vpa-admission takes from a policy.
type Admission struct {
	Attached
	// Runtimes are the settings kept in step with the memory limit, in the policy's
	// order: RuntimeGo, RuntimeJVM.
	Runtimes []string `json:"runtimes,omitempty"`
}

// Settings of a language's runtime.
const (
	RuntimeGo  = "GoMemLimit"
	RuntimeJVM = "JVMHeap"
)
