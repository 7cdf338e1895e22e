package patch

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/runtimes"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
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
	// Gates are the features that are on.
	Gates features.Gates `json:"gates,omitzero"`
	// MaxBoost is the most CPU that a boost may ask for; nil is no bound.
	MaxBoost *resource.Quantity `json:"maxBoost,omitempty"`
	// Sidecars tells that init containers which run beside the others are patched
	// as these are.
	Sidecars bool `json:"sidecars,omitempty"`
	// FollowPodLevel tells that the requests and limits of the pod as a whole keep
	// their proportion to the sum of its containers.
	FollowPodLevel bool `json:"followPodLevel,omitempty"`
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
	// StartupBoost is that of the whole object; a container's own is in Policy.
	StartupBoost *vpav1.StartupBoost `json:"startupBoost,omitempty"`
}

// Pod is the projection of the pod that is to be made.
type Pod struct {
	// Name is the pod's, or what its name is generated from.
	Name string `json:"name"`
	// Containers are in the order of the spec.
	Containers []Container `json:"containers"`
	// Init are the init containers in the order of the spec, where one of them is a
	// sidecar or the pod has resources of its own, since these bound them too.
	Init []Container `json:"init,omitempty"`
	// Level is what the pod as a whole requests and is limited to, nil where only
	// its containers do. It has no name.
	Level *Container `json:"level,omitempty"`
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
	// Sidecar tells that an init container runs beside the others.
	Sidecar bool `json:"sidecar,omitempty"`
	// Boosted is the annotation that says what the container had before a boost, as
	// it is now.
	Boosted string `json:"boosted,omitempty"`
	// Settings are the memory settings of runtimes that the container has, where
	// the object wants these kept in step.
	Settings []runtimes.Setting `json:"settings,omitempty"`
}

// Of projects a pod. What others may have set is not looked at. kinds are the
// runtimes whose settings are of interest.
func Of(pod *corev1.Pod, name string, kinds ...runtimes.Kind) Pod {
	out := Pod{
		Name: name, Annotated: pod.Annotations != nil, Containers: make([]Container, 0, len(pod.Spec.Containers)),
		Updates: pod.Annotations[UpdatesAnnotation], Observed: pod.Annotations[ObservedAnnotation],
	}
	for i := range pod.Spec.Containers {
		out.Containers = append(out.Containers, containerOf(pod, &pod.Spec.Containers[i], kinds))
	}
	if r := pod.Spec.Resources; r != nil {
		out.Level = &Container{
			Container:   resourcepolicy.Container{Requests: r.Requests, Limits: r.Limits},
			HasRequests: r.Requests != nil, HasLimits: r.Limits != nil, HasResources: true,
		}
	}
	if out.Level == nil && !slices.ContainsFunc(pod.Spec.InitContainers, sidecar) {
		return out
	}
	for i := range pod.Spec.InitContainers {
		c := containerOf(pod, &pod.Spec.InitContainers[i], kinds)
		c.Sidecar = sidecar(pod.Spec.InitContainers[i])
		out.Init = append(out.Init, c)
	}
	return out
}

func sidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func containerOf(pod *corev1.Pod, c *corev1.Container, kinds []runtimes.Kind) Container {
	r := c.Resources
	return Container{
		Container:   resourcepolicy.Container{Name: c.Name, Requests: r.Requests, Limits: r.Limits},
		HasRequests: r.Requests != nil, HasLimits: r.Limits != nil,
		HasResources: r.Requests != nil || r.Limits != nil || len(r.Claims) > 0,
		Boosted:      pod.Annotations[BoostAnnotation+c.Name],
		Settings:     runtimes.Find(c, kinds...),
	}
}
