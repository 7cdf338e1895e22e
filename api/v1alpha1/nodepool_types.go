package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodePoolSpec is a pool of nodes of one template.
//
// +kubebuilder:validation:XValidation:rule="self.min <= self.max",message="min must not exceed max: lower min or raise max",fieldPath=".min"
type NodePoolSpec struct {
	// mode is Off (the pool is left alone), Recommend (the scaler reports what it
	// would do and never acts) or Auto.
	// +optional
	// +kubebuilder:default=Auto
	Mode Mode `json:"mode,omitempty"`
	// min is the least number of nodes; it is enforced.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Min int32 `json:"min"`
	// max is the greatest number of nodes.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Max int32 `json:"max"`
	// template is what a node of the pool is like. What the first real node shows
	// goes before it, and a difference is reported.
	Template NodeTemplate `json:"template"`
	// price of a node per hour, in any one currency, for the expander price and
	// for consolidation.
	// +optional
	Price *resource.Quantity `json:"price,omitempty"`
	// priority of the pool for the expander priority; higher goes first.
	// +optional
	Priority int32 `json:"priority,omitempty"`
	// provider is what makes and deletes the nodes: exactly one member.
	Provider NodeProvider `json:"provider"`
	// headroom is spare capacity kept ready, as room of the lowest priority.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Headroom []Headroom `json:"headroom,omitempty"`
	// scaleUp are the times of growing.
	// +optional
	ScaleUp *ScaleUpTimes `json:"scaleUp,omitempty"`
	// scaleDown are the times and the threshold of shrinking.
	// +optional
	ScaleDown *ScaleDownTimes `json:"scaleDown,omitempty"`
	// disruption bounds what scaling down and consolidation may disturb.
	// +optional
	Disruption *NodeDisruption `json:"disruption,omitempty"`
}

// NodeTemplate is what a node of a pool is like before there is one.
type NodeTemplate struct {
	// capacity of a node, by resource.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="'cpu' in self && 'memory' in self",message="capacity needs cpu and memory"
	Capacity corev1.ResourceList `json:"capacity"`
	// allocatable of a node, where it is less than capacity.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	// labels of a node.
	// +optional
	// +kubebuilder:validation:MaxProperties=128
	Labels map[string]string `json:"labels,omitempty"`
	// taints that a node keeps.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Taints []corev1.Taint `json:"taints,omitempty"`
	// startupTaints are on a node only while it starts; plans look past them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	StartupTaints []corev1.Taint `json:"startupTaints,omitempty"`
	// zones that the pool can place nodes in (topology.kubernetes.io/zone).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Zones []string `json:"zones,omitempty"`
}

// NodeProvider is what makes and deletes nodes: exactly one member is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.kwok), has(self.externalGRPC), has(self.clusterAPI)].exists_one(set, set)",message="provider must have exactly one of kwok, externalGRPC, clusterAPI"
type NodeProvider struct {
	// kwok makes fake nodes.
	// +optional
	Kwok *KwokProvider `json:"kwok,omitempty"`
	// externalGRPC speaks Cluster Autoscaler's externalgrpc protocol.
	// +optional
	ExternalGRPC *ExternalGRPCProvider `json:"externalGRPC,omitempty"`
	// clusterAPI scales an object of Cluster API.
	// +optional
	ClusterAPI *ClusterAPIProvider `json:"clusterAPI,omitempty"`
}

// KwokProvider makes fake nodes, as slow and as unreliable as asked.
type KwokProvider struct {
	// bootTime is the median time from the request to a Ready node.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	BootTime *metav1.Duration `json:"bootTime,omitempty"`
	// bootTimeP99 is the 99th percentile of the same.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	BootTimeP99 *metav1.Duration `json:"bootTimeP99,omitempty"`
	// deleteTime is the time a deletion takes.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	DeleteTime *metav1.Duration `json:"deleteTime,omitempty"`
	// stock is how many nodes there are to be had; further requests are refused.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Stock *int32 `json:"stock,omitempty"`
	// bootFailurePercent of nodes never become Ready.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	BootFailurePercent int32 `json:"bootFailurePercent,omitempty"`
	// partialFillPercent of requests get fewer nodes than they asked for.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	PartialFillPercent int32 `json:"partialFillPercent,omitempty"`
	// seed of the chances above.
	// +optional
	Seed int64 `json:"seed,omitempty"`
}

// ExternalGRPCProvider is a node group of an externalgrpc server.
type ExternalGRPCProvider struct {
	// address of the server as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	Address string `json:"address"`
	// nodeGroup is the id of the group at the server.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	NodeGroup string `json:"nodeGroup"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// ClusterAPIProvider is a scalable object of Cluster API.
type ClusterAPIProvider struct {
	// kind of the object.
	// +kubebuilder:validation:Enum=MachineDeployment;MachineSet;MachinePool
	Kind string `json:"kind"`
	// namespace of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// kubeconfig of the management cluster, where it is another one.
	// +optional
	Kubeconfig *SecretKey `json:"kubeconfig,omitempty"`
}

// Headroom is spare capacity, told as pods that could come.
type Headroom struct {
	// name of the room, shown in events and plans.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// pods that must find room.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Pods int32 `json:"pods"`
	// requests of one such pod.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	Requests corev1.ResourceList `json:"requests"`
}

// ScaleUpTimes are the times of growing. What is absent is as the scaler's flags
// say.
type ScaleUpTimes struct {
	// provisionTimeout is how long a node may take before it counts as failed.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	ProvisionTimeout *metav1.Duration `json:"provisionTimeout,omitempty"`
	// backoffInitial is the first wait after a failure.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	BackoffInitial *metav1.Duration `json:"backoffInitial,omitempty"`
	// backoffMax is the longest wait.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	BackoffMax *metav1.Duration `json:"backoffMax,omitempty"`
}

// ScaleDownTimes are the times and the threshold of shrinking. What is absent is
// as the scaler's flags say.
type ScaleDownTimes struct {
	// utilizationThresholdPercent under which a node is a candidate.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	UtilizationThresholdPercent *int32 `json:"utilizationThresholdPercent,omitempty"`
	// unneededFor is how long a node must have been unneeded.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	UnneededFor *metav1.Duration `json:"unneededFor,omitempty"`
	// unreadyFor is how long a node must have been unready.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	UnreadyFor *metav1.Duration `json:"unreadyFor,omitempty"`
	// delayAfterAdd is the wait after the pool grew.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	DelayAfterAdd *metav1.Duration `json:"delayAfterAdd,omitempty"`
	// maxGracefulTermination is how long a drain waits for a pod to end.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	MaxGracefulTermination *metav1.Duration `json:"maxGracefulTermination,omitempty"`
}
