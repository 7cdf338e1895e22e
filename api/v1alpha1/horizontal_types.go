package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HorizontalPolicy is what autoscaling/v2 has no field for. What is absent is
// as the controller's flags say.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxSampleAge) || !has(self.syncPeriod) || duration(self.maxSampleAge) >= duration(self.syncPeriod)",message="maxSampleAge must not be shorter than syncPeriod: raise maxSampleAge or lower syncPeriod",fieldPath=".maxSampleAge"
type HorizontalPolicy struct {
	// mode is Off (the controller leaves the target alone), Recommend (it decides
	// and reports and never scales) or Auto.
	// +optional
	// +kubebuilder:default=Auto
	Mode Mode `json:"mode,omitempty"`
	// upscaleDelay: no scale-up within this time of the last scale-up; at most 1h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="upscaleDelay must be 1h or shorter"
	UpscaleDelay *metav1.Duration `json:"upscaleDelay,omitempty"`
	// downscaleDelay: no scale-down within this time of the last scale-down; at
	// most 24h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="downscaleDelay must be 24h or shorter"
	DownscaleDelay *metav1.Duration `json:"downscaleDelay,omitempty"`
	// maxSampleAge is the age past which a metric's sample counts as missing.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="maxSampleAge must be 1s or longer"
	MaxSampleAge *metav1.Duration `json:"maxSampleAge,omitempty"`
	// syncPeriod is the time between two evaluations, from 1s to 10m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="syncPeriod must be from 1s to 10m"
	SyncPeriod *metav1.Duration `json:"syncPeriod,omitempty"`
	// pause stops scaling, in both directions or in one.
	// +optional
	Pause *Pause `json:"pause,omitempty"`
	// fallback is what to do when metrics fail. Without it replicas hold.
	// +optional
	Fallback *Fallback `json:"fallback,omitempty"`
	// schedules put a minimum, a maximum or both in the place of the target's own
	// in windows of time. Where windows overlap, the highest minimum and the
	// lowest maximum count, and the minimum goes before the maximum.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Schedules []ReplicaSchedule `json:"schedules,omitempty"`
	// activation are thresholds that must be passed to leave zero replicas.
	// +optional
	// +listType=map
	// +listMapKey=metric
	// +kubebuilder:validation:MaxItems=32
	Activation []ActivationThreshold `json:"activation,omitempty"`
	// oscillation opts in to a wider tolerance while replicas go to and fro.
	// +optional
	Oscillation *Oscillation `json:"oscillation,omitempty"`
}

// PauseDirection is a direction of scaling that is stopped.
//
// +kubebuilder:validation:Enum=Up;Down;Both
type PauseDirection string

// The directions.
const (
	PauseUp   PauseDirection = "Up"
	PauseDown PauseDirection = "Down"
	PauseBoth PauseDirection = "Both"
)

// Pause stops scaling.
type Pause struct {
	// direction that is stopped.
	// +optional
	// +kubebuilder:default=Both
	Direction PauseDirection `json:"direction,omitempty"`
	// until ends the pause by itself.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// FallbackPolicy is what becomes of replicas when metrics fail.
//
// +kubebuilder:validation:Enum=Hold;Replicas;AtLeast;AtMost
type FallbackPolicy string

// The fallback policies.
const (
	// FallbackHold leaves replicas as they are.
	FallbackHold FallbackPolicy = "Hold"
	// FallbackReplicas sets a number.
	FallbackReplicas FallbackPolicy = "Replicas"
	// FallbackAtLeast raises replicas to a number and never lowers them.
	FallbackAtLeast FallbackPolicy = "AtLeast"
	// FallbackAtMost lowers replicas to a number and never raises them.
	FallbackAtMost FallbackPolicy = "AtMost"
)

// Fallback is what to do when no metric could be had for a while.
//
// +kubebuilder:validation:XValidation:rule="self.policy == 'Hold' || has(self.replicas)",message="policies Replicas, AtLeast and AtMost need replicas: add fallback.replicas"
// +kubebuilder:validation:XValidation:rule="self.policy != 'Hold' || !has(self.replicas)",message="policy Hold uses no replicas: remove fallback.replicas, or choose Replicas, AtLeast or AtMost",fieldPath=".replicas"
type Fallback struct {
	// policy is Hold, Replicas, AtLeast or AtMost.
	Policy FallbackPolicy `json:"policy"`
	// replicas of the policies other than Hold.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Replicas *int32 `json:"replicas,omitempty"`
	// after is how long metrics must have failed.
	// +optional
	// +kubebuilder:default="3m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="after must be 24h or shorter"
	After metav1.Duration `json:"after,omitzero"`
}

// ReplicaSchedule bounds replicas in a window of time.
//
// +kubebuilder:validation:XValidation:rule="has(self.minReplicas) || has(self.maxReplicas)",message="a schedule needs minReplicas, maxReplicas or both"
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas must not exceed maxReplicas",fieldPath=".minReplicas"
// +kubebuilder:validation:XValidation:rule="!(has(self.rampUp) || has(self.rampDown)) || has(self.minReplicas)",message="rampUp and rampDown move minReplicas: add minReplicas or remove them"
// +kubebuilder:validation:XValidation:rule="(has(self.rampUp) ? duration(self.rampUp) : duration('0s')) + (has(self.rampDown) ? duration(self.rampDown) : duration('0s')) <= duration(self.duration)",message="rampUp and rampDown together must fit into duration: shorten them or lengthen duration"
type ReplicaSchedule struct {
	// name of the schedule, shown in conditions and steps.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name            string `json:"name"`
	RecurringWindow `json:",inline"`
	// minReplicas inside the window. 0 needs an Object or External metric to end
	// it, and counts as 1 without.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// maxReplicas inside the window.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// rampUp is the time from the window's opening in which the minimum goes
	// evenly from the target's own to minReplicas.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	RampUp *metav1.Duration `json:"rampUp,omitempty"`
	// rampDown is the time up to the window's close in which the minimum goes
	// evenly back.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	RampDown *metav1.Duration `json:"rampDown,omitempty"`
}

// ActivationThreshold is what one metric must exceed to leave zero replicas.
type ActivationThreshold struct {
	// metric is the name of an External or Object metric of the target.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Metric string `json:"metric"`
	// above is the threshold; the metric must be greater.
	Above resource.Quantity `json:"above"`
}

// Oscillation widens the tolerance while replicas go to and fro.
type Oscillation struct {
	// window in which changes of direction are counted.
	// +optional
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="window must be from 1m to 24h"
	Window metav1.Duration `json:"window,omitzero"`
	// changes of direction in the window that count as oscillation.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=100
	Changes int32 `json:"changes,omitempty"`
	// tolerancePercent used while it lasts, where it is wider than the target's.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	TolerancePercent int32 `json:"tolerancePercent"`
}

// HorizontalTarget names a HorizontalPodAutoscaler of the policy's namespace.
type HorizontalTarget struct {
	// apiVersion of the target.
	// +optional
	// +kubebuilder:default=autoscaling/v2
	// +kubebuilder:validation:Enum=autoscaling/v1;autoscaling/v2
	APIVersion string `json:"apiVersion,omitempty"`
	// kind of the target.
	// +optional
	// +kubebuilder:default=HorizontalPodAutoscaler
	// +kubebuilder:validation:Enum=HorizontalPodAutoscaler
	Kind            string `json:"kind,omitempty"`
	TargetReference `json:",inline"`
}

// HorizontalScalingPolicySpec is a policy and what it is attached to.
type HorizontalScalingPolicySpec struct {
	// targetRef names the HPA.
	TargetRef        HorizontalTarget `json:"targetRef"`
	HorizontalPolicy `json:",inline"`
}

// HorizontalScalingPolicy attaches to a HorizontalPodAutoscaler and adds what
// autoscaling/v2 has no field for. hpa-controller serves it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=quartet,shortName=hsp
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Attached",type=string,JSONPath=`.status.conditions[?(@.type=="Attached")].status`
// +kubebuilder:printcolumn:name="Pause",type=string,JSONPath=`.spec.pause.direction`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type HorizontalScalingPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec HorizontalScalingPolicySpec `json:"spec"`
	// status is what became of it.
	// +optional
	Status PolicyStatus `json:"status,omitempty"`
}

// HorizontalScalingPolicyList is a list of HorizontalScalingPolicies.
//
// +kubebuilder:object:root=true
type HorizontalScalingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HorizontalScalingPolicy `json:"items"`
}
