// Package plan makes the one decision of a pass over the whole cluster: it puts
// what scaleup and scaledown find together with the bounds of the pools, and
// says of every pod that waits and of every node why it is as it is. It is pure;
// Rules are what the controller runs and a replay runs again. How pods fit, and
// which nodes go, is the business of the packages that it calls.
package plan

import (
	"strconv"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaledown"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaleup"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Component names the decisions of this package, Kind and Name their unit.
const (
	Component = "cluster-scaler"
	Kind      = "ClusterPlan"
	Name      = "cluster"
)

// Unit is the one that there is: the plan of the whole cluster.
var Unit = decision.Unit{Kind: Kind, Name: Name}

// Rules are what the loop runs and a replay runs again.
func Rules() loop.Rules[nodepool.Snapshot, State, Decision] {
	return loop.Rules[nodepool.Snapshot, State, Decision]{Decide: Decide, Commit: Commit}
}

// Sizes are numbers of nodes by pool, without those that are drained and with
// those on their way.
type Sizes map[string]int

// String is "a=1, b=3" in the order of names.
func (s Sizes) String() string {
	parts := make([]string, 0, len(s))
	for _, name := range nodepool.Names(s) {
		parts = append(parts, name+"="+strconv.Itoa(s[name]))
	}
	return strings.Join(parts, ", ")
}

// Decision is one plan.
type Decision struct {
	decision.Decision[Sizes, Delta]
	Actions Actions `json:"actions"`
	// Pools is what to show on each pool, by name.
	Pools map[string]PoolReport `json:"pools,omitempty"`
	// Pods has a verdict for each pod that waits, by namespace/name.
	Pods map[string]PodVerdict `json:"pods,omitempty"`
	// Nodes has a verdict for each node, by name.
	Nodes  map[string]scaledown.Verdict `json:"nodes,omitempty"`
	Events []Event                      `json:"events,omitempty"`
}

// Actions are carried out in the order of the fields. All can be repeated.
type Actions struct {
	// Undo takes our taint off nodes.
	Undo []NodeAction `json:"undo,omitempty"`
	// Request writes what is asked for into the pools, before it is asked.
	Request []PoolRequest `json:"request,omitempty"`
	// Create asks the provider for nodes that the pools' status has.
	Create []Creation   `json:"create,omitempty"`
	Taint  []NodeAction `json:"taint,omitempty"`
	Evict  []Eviction   `json:"evict,omitempty"`
	Delete []NodeAction `json:"delete,omitempty"`
}

func (a Actions) empty() bool {
	return len(a.Undo)+len(a.Request)+len(a.Create)+len(a.Taint)+len(a.Evict)+len(a.Delete) == 0
}

// NodeAction is about one node. UID is the node's, so that a namesake is safe.
type NodeAction struct {
	Node string `json:"node"`
	UID  string `json:"uid"`
	Pool string `json:"pool,omitempty"`
	// Value of the taint.
	Value string `json:"value,omitempty"`
	// Failed tells, of a deletion, that the node never became ready.
	Failed bool `json:"failed,omitempty"`
}

// PoolRequest changes what a pool's status says was asked for.
type PoolRequest struct {
	Pool string `json:"pool"`
	UID  string `json:"uid"`
	// Sequence is the last number used, zero where it stays.
	Sequence int64              `json:"sequence,omitempty"`
	Add      []nodepool.Request `json:"add,omitempty"`
	// Drop names requests that are answered or given up.
	Drop []string `json:"drop,omitempty"`
	// BackoffUntil is set where the provider failed.
	BackoffUntil time.Time `json:"backoffUntil,omitzero"`
}

// Creation is one node to be asked for.
type Creation struct {
	Pool    string           `json:"pool"`
	Request nodepool.Request `json:"request"`
}

// Eviction is one pod to be evicted.
type Eviction struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Node      string `json:"node"`
}

// PoolReport is what to show on a pool.
type PoolReport struct {
	UID        string `json:"uid"`
	Generation int64  `json:"generation,omitempty"`
	Provider   string `json:"provider"`
	Target     int    `json:"target"`
	Nodes      int    `json:"nodes"`
	Ready      int    `json:"ready"`
	Starting   int    `json:"starting"`
	Draining   int    `json:"draining"`
	// Held counts the nodes that are not removable, by reason.
	Held map[string]int `json:"held,omitempty"`
	// Recommended is the size that a pool that is not acted on would get.
	Recommended *int                 `json:"recommended,omitempty"`
	Message     string               `json:"message"`
	Conditions  []decision.Condition `json:"conditions,omitempty"`
}

// PodVerdict is why a pod waits.
type PodVerdict struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Node is where the plan puts it, Pool whose node that is.
	Node string `json:"node,omitempty"`
	Pool string `json:"pool,omitempty"`
	// Pools is why each pool does not grow for it.
	Pools map[string]scaleup.Refusal `json:"pools,omitempty"`
}

// Reasons of a pod's verdict.
const (
	// FitsNow: a node that is up takes it, the scheduler will find it.
	FitsNow = "FitsNow"
	// WaitsForNode: a node that is on its way takes it.
	WaitsForNode = "WaitsForNode"
	// TriggersScaleUp: a pool grows for it in this plan.
	TriggersScaleUp = "TriggeredScaleUp"
	// WouldTriggerScaleUp: a pool that only recommends would.
	WouldTriggerScaleUp = "WouldTriggerScaleUp"
	// NoScaleUp: no pool helps.
	NoScaleUp = "NotTriggerScaleUp"
	// Expendable: its priority is too low to grow a pool.
	Expendable = "Expendable"
	// OfDaemonSet: its node is fixed.
	OfDaemonSet = "OfDaemonSet"
)

// Event is one event of an object. OnSuccess events are told where the actions
// succeeded.
type Event struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Type      string `json:"type"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	OnSuccess bool   `json:"onSuccess,omitempty"`
}

// Types of events.
const (
	Normal  = "Normal"
	Warning = "Warning"
)

// Reasons of a plan.
const (
	ReasonSteady   = "Steady"
	ReasonScaleUp  = "ScaleUp"
	ReasonDrain    = "ScaleDown"
	ReasonUndone   = "DrainUndone"
	ReasonHeld     = "Held"
	ReasonRival    = "OtherScalerActs"
	ReasonFailed   = "PlanFailed"
	ReasonSettling = "Settling"
)

// State is what is remembered between passes. What an action is known by is in
// the cluster instead.
type State struct {
	Nodes scaledown.State `json:"nodes"`
	// Failures counts boots that failed in a row, by pool.
	Failures map[string]int `json:"failures,omitempty"`
}

// Delta replaces the state.
type Delta struct {
	State *State `json:"state,omitempty"`
}

// Commit folds a decision and its outcome into a new state.
func Commit(s State, d Decision, o decision.Outcome) State {
	if d.Observed.State != nil {
		s = *d.Observed.State
	}
	if o.Result == decision.Succeeded && d.OnSuccess.State != nil {
		s = *d.OnSuccess.State
	}
	return s
}
