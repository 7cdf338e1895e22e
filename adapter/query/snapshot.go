package query

import (
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Mode says how far the adapter may go.
type Mode string

// The modes of the adapter. In Recommend everything is decided and shown in the
// object's status and nothing is served. In Off nothing is decided.
const (
	ModeRecommend Mode = "Recommend"
	ModeAuto      Mode = "Auto"
)

// Metric is one metric that the object declares.
type Metric struct {
	Name   string            `json:"name"`
	Kind   Kind              `json:"kind"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Spec is the projection of a MetricSource that decisions are made from. It
// holds no credential.
type Spec struct {
	// Generation is the generation of the object that is in force: the newest,
	// or the last good one.
	Generation int64 `json:"generation"`
	// Source names kind and subject for people: "natsJetStream ORDERS/workers".
	Source string `json:"source"`
	// Namespaces is the label selector, as text, of the namespaces that an object
	// of the whole cluster serves in; empty: all.
	Namespaces string   `json:"namespaces,omitempty"`
	Metrics    []Metric `json:"metrics,omitempty"`
	// MaxAge is the age past which a sample is not served.
	MaxAge time.Duration `json:"maxAge"`
	// OnStale is the policy for samples past that age.
	OnStale OnStale `json:"onStale,omitzero"`
	// PollInterval is the time between two polls.
	PollInterval time.Duration `json:"pollInterval"`
}

// Rival is another MetricSource of the namespace that declares one of the
// object's metric names, or another ClusterMetricSource where the object is one.
type Rival struct {
	Name    string   `json:"name"`
	Created Time     `json:"created"`
	Metrics []string `json:"metrics,omitempty"`
	// Namespaces are the rival's, as in Spec.
	Namespaces string `json:"namespaces,omitempty"`
}

// Snapshot is everything a decision is made from.
type Snapshot struct {
	Now  Time          `json:"now"`
	Unit decision.Unit `json:"unit"`
	Mode Mode          `json:"mode"`
	// OtherAdapter is the Service of another adapter that the cluster asks for
	// external metrics, empty where it asks us. None is served beside it.
	OtherAdapter string `json:"otherAdapter,omitempty"`
	// OtherCustomAdapter is the same for custom metrics: values about objects.
	OtherCustomAdapter string `json:"otherCustomAdapter,omitempty"`
	// Created is when the object was made; the older of two rivals serves.
	Created Time `json:"created"`
	// Generation is the object's newest generation.
	Generation int64 `json:"generation"`
	Spec       Spec  `json:"spec"`
	// SpecFault says why the newest generation cannot be polled. The spec in
	// force is then the last good one, if there was one.
	SpecFault *decision.Fault `json:"specFault,omitempty"`
	// Rivals are sorted by name.
	Rivals []Rival `json:"rivals,omitempty"`
	Poll   Poll    `json:"poll"`
}

// State is what is carried from one decision on an object to the next.
type State struct {
	Window Window `json:"window"`
	// Served is what was last published.
	Served Served `json:"served"`
}

// Delta is a change of state.
type Delta struct {
	// Window is how the reading moves the rate window, nil where it does not.
	Window *WindowDelta `json:"window,omitempty"`
	// Publish makes the decision's Served the state's.
	Publish bool `json:"publish,omitempty"`
}

// Commit folds a decision into the state: the window of counters always, what
// is served only when it was published.
func Commit(state State, d Decision, outcome decision.Outcome) State {
	if d.Observed.Window != nil {
		state.Window = state.Window.apply(*d.Observed.Window)
	}
	if d.OnSuccess.Publish && outcome.Result == decision.Succeeded {
		state.Served = d.Served
	}
	return state
}
