package vertical

import (
	"slices"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// Boosts tells whether the object asks for a startup boost of any container.
func Boosts(vpa *vpav1.VerticalPodAutoscaler) bool {
	return vpa.Spec.StartupBoost != nil || vpa.Spec.ResourcePolicy != nil &&
		slices.ContainsFunc(vpa.Spec.ResourcePolicy.ContainerPolicies, func(p vpav1.ContainerResourcePolicy) bool { return p.StartupBoost != nil })
}
