package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of the suite's own objects.
const GroupName = "autoscaling.quartet.dev"

var (
	// GroupVersion is the group and version of every type of this package.
	GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

	// SchemeBuilder collects what AddToScheme registers.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the types of this package with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

// Resource qualifies a resource name with the group.
func Resource(resource string) schema.GroupResource {
	return GroupVersion.WithResource(resource).GroupResource()
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&MetricSource{}, &MetricSourceList{},
		&ClusterMetricSource{}, &ClusterMetricSourceList{},
		&HorizontalScalingPolicy{}, &HorizontalScalingPolicyList{},
		&HorizontalScaler{}, &HorizontalScalerList{},
		&VerticalScalingPolicy{}, &VerticalScalingPolicyList{},
		&NodePool{}, &NodePoolList{},
		&StateShard{}, &StateShardList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
