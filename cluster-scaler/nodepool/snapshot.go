package nodepool

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Modes of the binary and of a pool.
const (
	ModeOff       = "Off"
	ModeRecommend = "Recommend"
	ModeAuto      = "Auto"
)

// Snapshot is everything that one plan is made from. It is a projection of our
// own: small, free of secrets, and the same after a pass through JSON. Empty and
// absent mean the same in every field.
type Snapshot struct {
	Now    time.Time `json:"now"`
	Mode   string    `json:"mode"`
	Config Config    `json:"config"`
	// Rival is another scaler's lease, where there is one.
	Rival *Rival `json:"rival,omitempty"`
	// Pools are by name.
	Pools map[string]Pool `json:"pools,omitempty"`
	// Nodes are all nodes of the cluster, by name.
	Nodes map[string]Node `json:"nodes,omitempty"`
	// Pods are those that run or wait for a node, by namespace/name.
	Pods map[string]Pod `json:"pods,omitempty"`
	// Classes are what pods ask of a node, by Class.Key.
	Classes map[string]Class `json:"classes,omitempty"`
	// Budgets are the PodDisruptionBudgets, by namespace/name.
	Budgets map[string]Budget `json:"budgets,omitempty"`
	// Namespaces are the labels of namespaces, by name.
	Namespaces map[string]map[string]string `json:"namespaces,omitempty"`
	// Faults are what could not be observed.
	Faults []Fault `json:"faults,omitempty"`
}

// Fault is an input that could not be read.
type Fault struct {
	Source  string `json:"source"`
	Message string `json:"message"`
}

// Config is what the flags say. Pools may say otherwise for themselves.
// Durations are nanoseconds in JSON.
type Config struct {
	ProvisionTimeout            time.Duration `json:"provisionTimeout"`
	BackoffInitial              time.Duration `json:"backoffInitial"`
	BackoffMax                  time.Duration `json:"backoffMax"`
	UnneededFor                 time.Duration `json:"unneededFor"`
	DelayAfterAdd               time.Duration `json:"delayAfterAdd"`
	UtilizationThresholdPercent int32         `json:"utilizationThresholdPercent"`
	// DrainTimeout is how long a drain may go without a pod leaving.
	DrainTimeout time.Duration `json:"drainTimeout"`
	// DrainBackoff is how long a node is left alone after a drain was undone.
	DrainBackoff time.Duration `json:"drainBackoff"`
	// ExpendablePriorityCutoff is the priority below which a pod grows no pool.
	ExpendablePriorityCutoff int32 `json:"expendablePriorityCutoff"`
}

// Rival is the lease of another scaler.
type Rival struct {
	// Lease is namespace/name.
	Lease  string `json:"lease"`
	Holder string `json:"holder"`
	// Until is when the lease runs out unless it is renewed.
	Until time.Time `json:"until"`
}

// Fresh tells whether the rival is at work.
func (r *Rival) Fresh(now time.Time) bool {
	return r != nil && r.Holder != "" && now.Before(r.Until)
}

// Pool is a NodePool. Times that the pool does not set are the configuration's.
type Pool struct {
	UID        string `json:"uid"`
	Generation int64  `json:"generation,omitempty"`
	Mode       string `json:"mode"`
	Min        int32  `json:"min"`
	Max        int32  `json:"max"`
	Priority   int32  `json:"priority,omitempty"`
	// Provider is the kind of provider, and Served whether this build has it.
	Provider string   `json:"provider"`
	Served   bool     `json:"served,omitempty"`
	Template Template `json:"template"`
	Times    Times    `json:"times"`
	// Disruption are the budgets of nodes under removal at once.
	Disruption []Disruption `json:"disruption,omitempty"`
	// Sequence is the last number that a node was named by.
	Sequence int64 `json:"sequence,omitempty"`
	// Requested are nodes that were asked for and are not ready yet.
	Requested []Request `json:"requested,omitempty"`
	// Accepted names those that the provider of this process works on.
	Accepted []string `json:"accepted,omitempty"`
	// BackoffUntil is when the provider is asked again after a failure.
	BackoffUntil time.Time `json:"backoffUntil,omitzero"`
	// Deleting tells that the pool is on its way out.
	Deleting bool `json:"deleting,omitempty"`
}

// Times are a pool's own, zero where it has none.
type Times struct {
	ProvisionTimeout            time.Duration `json:"provisionTimeout,omitempty"`
	BackoffInitial              time.Duration `json:"backoffInitial,omitempty"`
	BackoffMax                  time.Duration `json:"backoffMax,omitempty"`
	UnneededFor                 *int64        `json:"unneededFor,omitempty"`
	DelayAfterAdd               *int64        `json:"delayAfterAdd,omitempty"`
	DrainTimeout                time.Duration `json:"drainTimeout,omitempty"`
	UtilizationThresholdPercent *int32        `json:"utilizationThresholdPercent,omitempty"`
}

// Template is what a node of the pool is like.
type Template struct {
	Capacity      corev1.ResourceList `json:"capacity,omitempty"`
	Allocatable   corev1.ResourceList `json:"allocatable,omitempty"`
	Labels        map[string]string   `json:"labels,omitempty"`
	Taints        []corev1.Taint      `json:"taints,omitempty"`
	StartupTaints []corev1.Taint      `json:"startupTaints,omitempty"`
	Zones         []string            `json:"zones,omitempty"`
}

// Disruption bounds nodes under removal at once; absent bounds are none.
type Disruption struct {
	Nodes   *int32 `json:"nodes,omitempty"`
	Percent *int32 `json:"percent,omitempty"`
}

// Request is a node that was asked of the provider under a name that was chosen
// beforehand, so that asking again is no second node.
type Request struct {
	Name string    `json:"name"`
	Zone string    `json:"zone,omitempty"`
	At   time.Time `json:"at"`
}

// Node is a node of the cluster.
type Node struct {
	UID string `json:"uid"`
	// Pool is the pool's name by the node's label, empty for nodes of none.
	Pool        string              `json:"pool,omitempty"`
	Labels      map[string]string   `json:"labels,omitempty"`
	Taints      []corev1.Taint      `json:"taints,omitempty"`
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	Ready       bool                `json:"ready,omitempty"`
	// Cordoned is spec.unschedulable.
	Cordoned bool      `json:"cordoned,omitempty"`
	Created  time.Time `json:"created"`
	// Protected names the annotation that forbids to remove the node.
	Protected string `json:"protected,omitempty"`
	Deleting  bool   `json:"deleting,omitempty"`
}

// Pod is a pod that runs on a node or waits for one.
type Pod struct {
	UID   string `json:"uid"`
	Class string `json:"class"`
	// Node is where it is bound, empty while it waits.
	Node string `json:"node,omitempty"`
	// Unschedulable tells that the scheduler found no node for it.
	Unschedulable bool      `json:"unschedulable,omitempty"`
	Created       time.Time `json:"created"`
	// Budgets that cover the pod, namespace/name, sorted.
	Budgets  []string `json:"budgets,omitempty"`
	Deleting bool     `json:"deleting,omitempty"`
}

// Class is what pods that are alike ask of a node, and what a drain must know of
// them.
type Class struct {
	Namespace string                            `json:"namespace"`
	Labels    map[string]string                 `json:"labels,omitempty"`
	Requests  corev1.ResourceList               `json:"requests,omitempty"`
	Selector  map[string]string                 `json:"selector,omitempty"`
	Affinity  *corev1.Affinity                  `json:"affinity,omitempty"`
	Tolerate  []corev1.Toleration               `json:"tolerate,omitempty"`
	Spread    []corev1.TopologySpreadConstraint `json:"spread,omitempty"`
	Ports     []corev1.ContainerPort            `json:"ports,omitempty"`
	Priority  int32                             `json:"priority,omitempty"`
	// Owner is the kind of the controller, empty where there is none.
	Owner string `json:"owner,omitempty"`
	// Mirror marks pods that a kubelet runs on its own.
	Mirror bool `json:"mirror,omitempty"`
	// SafeToEvict is the value of that annotation.
	SafeToEvict string `json:"safeToEvict,omitempty"`
	// Protected names the annotation that forbids to disturb the pod.
	Protected    string `json:"protected,omitempty"`
	LocalStorage bool   `json:"localStorage,omitempty"`
}

// Budget is the status of a PodDisruptionBudget.
type Budget struct {
	Allowed int32 `json:"allowed"`
	Healthy int32 `json:"healthy"`
	Desired int32 `json:"desired"`
	// Current tells that the status speaks of the present spec.
	Current bool `json:"current,omitempty"`
}
