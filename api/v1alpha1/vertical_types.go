package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// VerticalTarget names a VerticalPodAutoscaler of the policy's namespace.
type VerticalTarget struct {
	// apiVersion of the target.
	// +optional
	// +kubebuilder:default=autoscaling.k8s.io/v1
	// +kubebuilder:validation:Enum=autoscaling.k8s.io/v1
	APIVersion string `json:"apiVersion,omitempty"`
	// kind of the target.
	// +optional
	// +kubebuilder:default=VerticalPodAutoscaler
	// +kubebuilder:validation:Enum=VerticalPodAutoscaler
	Kind            string `json:"kind,omitempty"`
	TargetReference `json:",inline"`
}

// Estimation is how a recommendation is made of the usage of one resource. What
// is absent is as the recommender's flags say; a bound of theirs that would lie on
// the wrong side of targetPercentile goes with it.
//
// +kubebuilder:validation:XValidation:rule="(has(self.lowerPercentile) ? self.lowerPercentile : 1) <= (has(self.targetPercentile) ? self.targetPercentile : 100)",message="lowerPercentile must not exceed targetPercentile: lower it or raise targetPercentile",fieldPath=".lowerPercentile"
// +kubebuilder:validation:XValidation:rule="(has(self.targetPercentile) ? self.targetPercentile : 1) <= (has(self.upperPercentile) ? self.upperPercentile : 100)",message="targetPercentile must not exceed upperPercentile: lower it or raise upperPercentile",fieldPath=".targetPercentile"
type Estimation struct {
	// targetPercentile of usage that is recommended.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	TargetPercentile *int32 `json:"targetPercentile,omitempty"`
	// lowerPercentile under which a request is too high to be left alone.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	LowerPercentile *int32 `json:"lowerPercentile,omitempty"`
	// upperPercentile over which a request is too low to be left alone.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	UpperPercentile *int32 `json:"upperPercentile,omitempty"`
	// marginPercent is added to the percentile.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MarginPercent *int32 `json:"marginPercent,omitempty"`
	// halfLife is the age at which a sample weighs half, from 1m to 8760h. History
	// is kept where it is changed.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="halfLife must be from 1m to 8760h"
	HalfLife *metav1.Duration `json:"halfLife,omitempty"`
}

// Disruption bounds what updates may do to the workload.
type Disruption struct {
	// maxUnavailable is how many of the workload's pods may be under update at
	// once, as a number or a percentage. Budgets (policy/v1) hold besides.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="type(self) == string ? self.matches('^(100|[1-9][0-9]?)%$') : self >= 1",message="maxUnavailable must be a number from 1 or a percentage from 1% to 100%, such as 25%; to update nothing, set mode to Recommend"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// minInterval is the least time between two updates of one pod's place, up to
	// 168h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('168h')",message="minInterval must be 168h or shorter"
	MinInterval *metav1.Duration `json:"minInterval,omitempty"`
	// windows in which pods may be evicted. Without any, at all times. One that
	// cannot be read never opens. In-place resizes that restart nothing are not
	// bound by them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Windows []RecurringWindow `json:"windows,omitempty"`
	// surge is Never, or SingleReplica or Always: a new pod comes before the old
	// one goes, by a rollout of the workload, where it has one replica or always.
	// +optional
	// +kubebuilder:default=Never
	// +kubebuilder:validation:Enum=Never;SingleReplica;Always
	Surge string `json:"surge,omitempty"`
}

// Breaker stops updates of the workload when they do harm.
type Breaker struct {
	// failures in a row after which updates stop: an updated pod that did not
	// become Ready in time, or whose requests something else overwrote.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Failures int32 `json:"failures,omitempty"`
	// readyWithin is the time that an updated pod has, from 10s to 24h.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="readyWithin must be from 10s to 24h"
	ReadyWithin metav1.Duration `json:"readyWithin,omitzero"`
	// resetAfter is the time after which updates are tried again, from 1m to 168h.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="resetAfter must be from 1m to 168h"
	ResetAfter metav1.Duration `json:"resetAfter,omitzero"`
}

// What is to be done where a horizontal scaler follows the same requests.
const (
	WithHPAReport = "Report"
	WithHPABound  = "Bound"
)

// Whether a pod is updated only where it will fit afterwards.
const (
	FitIgnore  = "Ignore"
	FitRequire = "Require"
)

// RuntimeSetting is a memory setting of a language's runtime.
//
// +kubebuilder:validation:Enum=GoMemLimit;JVMHeap
type RuntimeSetting string

// ColdStartSource is where a new container's first recommendation comes from.
//
// +kubebuilder:validation:Enum=Workload;Image;Floor
type ColdStartSource string

// VerticalScalingPolicySpec is a policy and what it is attached to.
type VerticalScalingPolicySpec struct {
	// targetRef names the VPA.
	TargetRef VerticalTarget `json:"targetRef"`
	// mode is Off (the VPA is left alone), Recommend (decided and reported, never
	// acted on) or Auto.
	// +optional
	// +kubebuilder:default=Auto
	Mode Mode `json:"mode,omitempty"`
	// cpu is how CPU is estimated.
	// +optional
	CPU *Estimation `json:"cpu,omitempty"`
	// memory is how memory is estimated.
	// +optional
	Memory *Estimation `json:"memory,omitempty"`
	// memoryWindow is the stretch of time that gives one peak of memory.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="memoryWindow must be from 1m to 168h"
	MemoryWindow *metav1.Duration `json:"memoryWindow,omitempty"`
	// memoryWindows is the number of such stretches that count.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MemoryWindows *int32 `json:"memoryWindows,omitempty"`
	// disruption bounds what updates may do.
	// +optional
	Disruption *Disruption `json:"disruption,omitempty"`
	// breaker stops updates that do harm.
	// +optional
	Breaker *Breaker `json:"breaker,omitempty"`
	// fit is Require, to update a pod only where it will fit afterwards (quota,
	// limit ranges, room on nodes or in node pools), or Ignore.
	// +optional
	// +kubebuilder:default=Ignore
	// +kubebuilder:validation:Enum=Ignore;Require
	Fit string `json:"fit,omitempty"`
	// withHPA is what to do where a horizontal scaler follows the same resource's
	// utilization of the same workload: Report it, or also Bound the
	// recommendation: hold it at the requests in force, so that the two do not
	// fight.
	// +optional
	// +kubebuilder:default=Report
	// +kubebuilder:validation:Enum=Report;Bound
	WithHPA string `json:"withHPA,omitempty"`
	// coldStart lists, in order, where a new container's first recommendation
	// comes from: another container or VPA of the same Workload, a container of the
	// same Image, the Floor for a pod. Without any, it waits for its first sample.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	ColdStart []ColdStartSource `json:"coldStart,omitempty"`
	// runtimes are settings kept in step with the memory limit: GOMEMLIMIT, the
	// heap flags of a JVM.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	Runtimes []RuntimeSetting `json:"runtimes,omitempty"`
}

// VerticalScalingPolicy attaches to a VerticalPodAutoscaler of its namespace and
// adds what it has no field for. vpa-recommender, vpa-updater and vpa-admission
// serve it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=quartet,shortName=vsp
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Attached",type=string,JSONPath=`.status.conditions[?(@.type=="Attached")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VerticalScalingPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec VerticalScalingPolicySpec `json:"spec"`
	// status is what became of it.
	// +optional
	Status PolicyStatus `json:"status,omitempty"`
}

// VerticalScalingPolicyList is a list of VerticalScalingPolicies.
//
// +kubebuilder:object:root=true
type VerticalScalingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VerticalScalingPolicy `json:"items"`
}
