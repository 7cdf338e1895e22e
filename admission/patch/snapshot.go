package patch

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// Snapshot is everything that one decision is made from. It is the same after a
// pass through JSON. Empty and absent mean the same in every field but where
// said.
type Snapshot struct {
	Now  time.Time `json:"now"`
	Mode string    `json:"mode"`
	VPA  VPA       `json:"vpa"`
	Pod  Pod       `json:"pod"`
	// Policy is the VerticalScalingPolicy that holds for the object, nil for none.
	Policy *verticalpolicy.Admission `json:"policy,omitempty"`
	// Rival names another admission webhook for vertical scaling, where one is
	// registered.
	Rival string `json:"rival,omitempty"`
	// Limits are those of the namespace's LimitRanges.
	Limits resourcepolicy.Limits `json:"limits"`
}

// Modes of the binary.
const (
	ModeRecommend = "Recommend"
	ModeAuto      = "Auto"
)

// VPA is the projection of the object that scales the pod.
type VPA struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
	// UpdateMode is Recreate where the object does not say.
	UpdateMode      vpav1.UpdateMode                `json:"updateMode"`
	Policy          *vpav1.PodResourcePolicy        `json:"policy,omitempty"`
	Recommendations []resourcepolicy.Recommendation `json:"recommendations,omitempty"`
}

// Pod is the projection of the pod that is to be made.
type Pod struct {
	// Name is the pod's, or what its name is generated from.
	Name string `json:"name"`
	// Containers are in the order of the spec.
	Containers []Container `json:"containers"`
	// Annotated tells that the pod has annotations at all, even an empty map.
	Annotated bool `json:"annotated,omitempty"`
	// Updates and Observed are the annotations that we write, as they are now.
	Updates  string `json:"updates,omitempty"`
	Observed string `json:"observed,omitempty"`
}

// Container is one container's resources.
type Container struct {
	resourcepolicy.Container
	// HasRequests and HasLimits tell that the maps are there, even if empty, and
	// HasResources that their parent is.
	HasRequests  bool `json:"hasRequests,omitempty"`
	HasLimits    bool `json:"hasLimits,omitempty"`
	HasResources bool `json:"hasResources,omitempty"`
}

// Of projects a pod. What others may have set is not looked at.
func Of(pod *corev1.Pod, name string) Pod {
	out := Pod{
		Name: name, Annotated: pod.Annotations != nil,
		Updates: pod.Annotations[UpdatesAnnotation], Observed: pod.Annotations[ObservedAnnotation],
	}
	for _, c := range pod.Spec.Containers {
		r := c.Resources
		out.Containers = append(out.Containers, Container{
			Container:   resourcepolicy.Container{Name: c.Name, Requests: r.Requests, Limits: r.Limits},
			HasRequests: r.Requests != nil, HasLimits: r.Limits != nil,
			HasResources: r.Requests != nil || r.Limits != nil || len(r.Claims) > 0,
		})
	}
	return out
}
