package patch

import (
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Component names the decisions of this package.
const Component = "vpa-admission"

// Kind is the kind of the unit: decisions on pods are kept by the object that
// scales them, since a new pod may have no name yet.
const Kind = "VerticalPodAutoscaler"

// Annotations that are written, by upstream's names.
const (
	UpdatesAnnotation  = "vpaUpdates"
	ObservedAnnotation = "vpaObservedContainers"
	// BoostAnnotation, followed by a container's name, says what the container had
	// before its startup boost. The updater takes the boost back by it.
	BoostAnnotation = "vpaCpuStartupBoost/"
)

// Rules are what the webhook runs and a replay runs again.
func Rules() loop.Rules[Snapshot, State, Decision] {
	return loop.Rules[Snapshot, State, Decision]{Decide: Decide, Commit: Commit}
}

// Decision is the patch of one pod. To is the number of operations and edits.
type Decision struct {
	decision.Decision[int, Delta]
	// Pod is its name, or what its name is generated from.
	Pod string `json:"pod"`
	// Operations are the patch; empty where nothing is to be changed, or in mode
	// Recommend nothing may be.
	Operations []Operation `json:"operations,omitempty"`
	// Edits are changes within strings of the pod, which are part of the patch. The
	// strings themselves are not here: they may hold secrets.
	Edits []Edit `json:"edits,omitempty"`
}

// Edit replaces a part of a string.
type Edit struct {
	// Path is the JSON pointer of the string.
	Path string `json:"path"`
	// Offset is where From begins, in bytes.
	Offset int    `json:"offset,omitempty"`
	From   string `json:"from"`
	To     string `json:"to"`
}

// Operation is one operation of a JSON patch. All that we make are "add", which
// also replaces.
type Operation struct {
	Op   string `json:"op"`
	Path string `json:"path"`
	// Value is a string, or for new objects a map of strings.
	Value any `json:"value"`
}

// Reasons of a decision.
const (
	ReasonPatched          = "Patched"
	ReasonUpToDate         = "UpToDate"
	ReasonUpdateMode       = "UpdateModeOff"
	ReasonOtherWriter      = "OtherWebhookActs"
	ReasonNoRecommendation = "NoRecommendation"
	ReasonBoostInvalid     = "StartupBoostInvalid"
)

// State is nothing: a pod is admitted once.
type State struct{}

// Delta moves nothing.
type Delta struct{}

// Commit keeps the state.
func Commit(s State, _ Decision, _ decision.Outcome) State { return s }
