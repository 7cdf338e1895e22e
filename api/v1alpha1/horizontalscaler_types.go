package v1alpha1

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HorizontalScalerSpec is the spec of an autoscaling/v2 HorizontalPodAutoscaler
// with the policy beside it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas must not exceed maxReplicas",fieldPath=".minReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas > 0 || (has(self.metrics) && self.metrics.exists(m, m.type in ['Object', 'External']))",message="minReplicas 0 needs an Object or External metric, which can be read without pods: add one or raise minReplicas",fieldPath=".minReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.metrics) || self.metrics.all(m, (m.type == 'Resource') == has(m.resource) && (m.type == 'ContainerResource') == has(m.containerResource) && (m.type == 'Pods') == has(m.pods) && (m.type == 'Object') == has(m.object) && (m.type == 'External') == has(m.external))",message="each of metrics needs the one member that its type names, and no other: type Resource has resource, ContainerResource has containerResource, Pods has pods, Object has object, External has external",fieldPath=".metrics"
type HorizontalScalerSpec struct {
	// scaleTargetRef names the workload, by kind and name, in this namespace. Any
	// kind with a scale subresource will do.
	ScaleTargetRef autoscalingv2.CrossVersionObjectReference `json:"scaleTargetRef"`
	// minReplicas is the lower bound; 0 needs an Object or External metric.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// maxReplicas is the upper bound.
	// +kubebuilder:validation:Minimum=1
	MaxReplicas int32 `json:"maxReplicas"`
	// metrics to follow; the highest proposal wins. Without any, CPU at 80% of
	// the requests.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Metrics []autoscalingv2.MetricSpec `json:"metrics,omitempty"`
	// behavior bounds the speed of each direction.
	// +optional
	Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
	// policy adds what autoscaling/v2 has no field for.
	// +optional
	Policy *HorizontalPolicy `json:"policy,omitempty"`
}

// HorizontalScaler is a HorizontalPodAutoscaler and its policy in one object,
// for managed clusters whose own HPA controller cannot be switched off.
// hpa-controller serves it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=quartet,shortName=hscaler
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.scaleTargetRef.kind`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.scaleTargetRef.name`
// +kubebuilder:printcolumn:name="Min",type=integer,JSONPath=`.spec.minReplicas`
// +kubebuilder:printcolumn:name="Max",type=integer,JSONPath=`.spec.maxReplicas`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.status.currentReplicas`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.desiredReplicas`
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.conditions[?(@.type=="ScalingActive")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type HorizontalScaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec HorizontalScalerSpec `json:"spec"`
	// status is that of an autoscaling/v2 HorizontalPodAutoscaler, conditions
	// included.
	// +optional
	Status autoscalingv2.HorizontalPodAutoscalerStatus `json:"status,omitempty"`
}

// HorizontalScalerList is a list of HorizontalScalers.
//
// +kubebuilder:object:root=true
type HorizontalScalerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HorizontalScaler `json:"items"`
}
