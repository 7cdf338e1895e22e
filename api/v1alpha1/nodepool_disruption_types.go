package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DisruptionReason is why nodes of a pool are disturbed.
//
// +kubebuilder:validation:Enum=Empty;Underutilized;Consolidation;Unready
type DisruptionReason string

// The reasons of disruption.
const (
	// DisruptionEmpty: nothing runs on the node that would be missed.
	DisruptionEmpty DisruptionReason = "Empty"
	// DisruptionUnderutilized: the node's pods fit elsewhere.
	DisruptionUnderutilized DisruptionReason = "Underutilized"
	// DisruptionConsolidation: fewer or cheaper nodes can take the node's place.
	DisruptionConsolidation DisruptionReason = "Consolidation"
	// DisruptionUnready: the node has been unready for too long.
	DisruptionUnready DisruptionReason = "Unready"
)

// NodeDisruption bounds what scaling down and consolidation may disturb.
type NodeDisruption struct {
	// budgets of nodes under removal at once. Of several that are open the least
	// counts. Without any, 10% of the pool and at least one node.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Budgets []DisruptionBudget `json:"budgets,omitempty"`
	// consolidation replaces nodes by fewer or cheaper ones.
	// +optional
	Consolidation *Consolidation `json:"consolidation,omitempty"`
	// surge is Never, or WhenBlocked: where a budget of a workload can never be
	// met, a further pod is made before one is evicted.
	// +optional
	// +kubebuilder:default=Never
	// +kubebuilder:validation:Enum=Never;WhenBlocked
	Surge string `json:"surge,omitempty"`
}

// DisruptionBudget is how many nodes may be under removal at once.
//
// +kubebuilder:validation:XValidation:rule="has(self.nodes) || has(self.percent)",message="a budget needs nodes, percent or both"
type DisruptionBudget struct {
	// nodes at once; 0 forbids it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Nodes *int32 `json:"nodes,omitempty"`
	// percent of the pool's nodes at once, rounded down. With nodes too the lesser
	// counts.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// window in which the budget holds. Without it, always.
	// +optional
	Window *RecurringWindow `json:"window,omitempty"`
	// reasons that the budget holds for. Without any, all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	Reasons []DisruptionReason `json:"reasons,omitempty"`
}

// Consolidation replaces nodes by fewer or cheaper ones where savings outweigh
// the disruption.
type Consolidation struct {
	// policy is Off (the default) or WhenCheaper.
	// +optional
	// +kubebuilder:default=Off
	// +kubebuilder:validation:Enum=Off;WhenCheaper
	Policy string `json:"policy,omitempty"`
	// after is how long the pool must have been calm.
	// +optional
	// +kubebuilder:default="15m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	After metav1.Duration `json:"after,omitzero"`
	// minSavingsPercent of the price of the nodes replaced.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MinSavingsPercent int32 `json:"minSavingsPercent,omitempty"`
}

// NodePoolStatus is what the scaler last saw.
type NodePoolStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// provider is the kind of provider and what it is asked for.
	// +optional
	Provider string `json:"provider,omitempty"`
	// target is the size last asked of the provider.
	// +optional
	Target *int32 `json:"target,omitempty"`
	// nodes that are registered.
	// +optional
	Nodes int32 `json:"nodes,omitempty"`
	// ready nodes.
	// +optional
	Ready int32 `json:"ready,omitempty"`
	// starting are nodes asked for and not yet ready.
	// +optional
	Starting int32 `json:"starting,omitempty"`
	// draining nodes.
	// +optional
	Draining int32 `json:"draining,omitempty"`
	// message explains the last decision.
	// +optional
	Message string `json:"message,omitempty"`
	// sequence is the number in the name of the last node that was asked for.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// requested are nodes that were asked for and are not ready yet. They are
	// written before the provider is asked, so that no crash asks twice.
	// +optional
	// +listType=map
	// +listMapKey=name
	Requested []RequestedNode `json:"requested,omitempty"`
	// backoffUntil is when a provider that failed is asked again.
	// +optional
	BackoffUntil *metav1.Time `json:"backoffUntil,omitempty"`
	// bootTime is the median learned of the last nodes.
	// +optional
	BootTime *metav1.Duration `json:"bootTime,omitempty"`
	// templateDifferences are the fields in which a real node differs from the
	// template.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	TemplateDifferences []string `json:"templateDifferences,omitempty"`
	// held counts the nodes that are not removable, by reason.
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=32
	Held []HeldNodes `json:"held,omitempty"`
	// conditions are Ready, ProviderReachable, Scaling and Limited.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RequestedNode is a node that was asked for under a name chosen beforehand.
type RequestedNode struct {
	// name of the node to be.
	Name string `json:"name"`
	// zone of the node to be, where the pool has zones.
	// +optional
	Zone string `json:"zone,omitempty"`
	// at is when it was asked for.
	At metav1.MicroTime `json:"at"`
}

// HeldNodes is the number of nodes that one reason keeps from removal.
type HeldNodes struct {
	// reason that the nodes are not removable.
	Reason string `json:"reason"`
	// nodes it holds.
	Nodes int32 `json:"nodes"`
}

// NodePool is a pool of nodes that grows and shrinks. Its short name is qnp,
// since another project has a kind of that name; where both are installed, say
// nodepools.autoscaling.quartet.dev. cluster-scaler serves it with the provider
// kwok. Not served by this version: price, priority, headroom, consolidation,
// surge, windows of disruption budgets (a budget holds always), unreadyFor,
// status.bootTime and templateDifferences, and the other providers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=quartet,shortName=qnp
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.status.provider`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Min",type=integer,JSONPath=`.spec.min`
// +kubebuilder:printcolumn:name="Max",type=integer,JSONPath=`.spec.max`
// +kubebuilder:printcolumn:name="Target",type=integer,JSONPath=`.status.target`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.ready`
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Starting",type=integer,JSONPath=`.status.starting`
// +kubebuilder:printcolumn:name="Draining",type=integer,JSONPath=`.status.draining`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must be 63 characters or shorter, since it becomes a label's value on nodes"
type NodePool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec NodePoolSpec `json:"spec"`
	// status is what was last seen.
	// +optional
	Status NodePoolStatus `json:"status,omitempty"`
}

// NodePoolList is a list of NodePools.
//
// +kubebuilder:object:root=true
type NodePoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodePool `json:"items"`
}
