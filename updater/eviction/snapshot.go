package eviction

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/updater/fit"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// Snapshot is everything that one decision is made from. It is the same after a
// pass through JSON. Empty and absent mean the same in every field.
type Snapshot struct {
	Now    time.Time `json:"now"`
	Mode   string    `json:"mode"`
	Config Config    `json:"config"`
	VPA    VPA       `json:"vpa"`
	// Policy is the VerticalScalingPolicy that holds for the object, nil for none.
	Policy *verticalpolicy.Updater `json:"policy,omitempty"`
	// Rival names another updater that acts in the cluster, where there is one.
	Rival     string    `json:"rival,omitempty"`
	Admission Admission `json:"admission"`
	// Limits are those of the namespace's LimitRanges.
	Limits resourcepolicy.Limits `json:"limits"`
	// Pods are the live pods of the target, by name.
	Pods map[string]Pod `json:"pods,omitempty"`
	// Groups are the controllers that own the pods, by Pod.Group.
	Groups map[string]Group `json:"groups,omitempty"`
	// Fleet is what is known of all other objects, as far as the flags ask for it.
	Fleet Fleet `json:"fleet,omitzero"`
	// Room is what pods may find room in, given where they must fit; nil where it
	// is not read.
	Room *fit.Cluster `json:"room,omitempty"`
	// Deployment is what a rollout of the target depends on, nil where there may be
	// none.
	Deployment *Deployment `json:"deployment,omitempty"`
}

// Modes of the binary.
const (
	ModeRecommend = "Recommend"
	ModeAuto      = "Auto"
)

// Config is what the flags say. Durations are nanoseconds in JSON.
type Config struct {
	// MinReplicas is the least number of live pods of a controller of which any
	// may be evicted, for objects that do not say so themselves.
	MinReplicas int `json:"minReplicas"`
	// Tolerance is the part of a controller's replicas, of 1, that may be away.
	Tolerance float64 `json:"tolerance"`
	// UpdateThreshold is the least relative difference between requests and
	// targets for which a pod within its bounds is evicted, once it has lived for
	// PodLifetime.
	UpdateThreshold float64       `json:"updateThreshold"`
	PodLifetime     time.Duration `json:"podLifetime"`
	// OOMThreshold bounds both how soon after its start a container was killed and
	// how long ago that is, for the kill to count.
	OOMThreshold time.Duration `json:"oomThreshold"`
	// NeedsAdmission makes decisions wait for an admission webhook whose lease is
	// younger than LeaseTimeout.
	NeedsAdmission bool          `json:"needsAdmission"`
	LeaseTimeout   time.Duration `json:"leaseTimeout"`
	// SkipBudget lets resizes that restart no container pass without regard to
	// MinReplicas and Tolerance.
	SkipBudget bool `json:"inPlaceSkipDisruptionBudget,omitempty"`
	// MemoryByUsage lets a resize lower a memory limit only where less is used.
	MemoryByUsage bool `json:"memoryByUsage,omitempty"`
	// Gates are the feature gates.
	Gates features.Gates `json:"gates,omitzero"`
	// Kindness is what the flags say of being kind to workloads.
	Kindness Kindness `json:"kindness,omitzero"`
}

// VPA is the projection of the object.
type VPA struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
	// Target is the kind and name that the object scales, as Deployment/web.
	Target string `json:"target,omitempty"`
	// Older names an object that scales the same target and came first.
	Older string `json:"older,omitempty"`
	// UpdateMode is Recreate where the object does not say.
	UpdateMode  vpav1.UpdateMode `json:"updateMode"`
	MinReplicas *int32           `json:"minReplicas,omitempty"`
	// EvictAfterOOM takes the place of Config.OOMThreshold, in seconds, where the
	// gate PerVPAConfig is on.
	EvictAfterOOM *int32 `json:"evictAfterOOMSeconds,omitempty"`
	// StartupBoost is that of all containers; their own is in Policy.
	StartupBoost *vpav1.StartupBoost `json:"startupBoost,omitempty"`
	// Requirements all have to be met for an eviction.
	Requirements    []Requirement                   `json:"requirements,omitempty"`
	Policy          *vpav1.PodResourcePolicy        `json:"policy,omitempty"`
	Recommendations []resourcepolicy.Recommendation `json:"recommendations,omitempty"`
}

// Requirement is met where the change goes for one of the resources at least.
type Requirement struct {
	Resources []corev1.ResourceName           `json:"resources,omitempty"`
	Change    vpav1.EvictionChangeRequirement `json:"change"`
}

// Admission is the lease of the admission webhook, or why it could not be read.
type Admission struct {
	Lease string `json:"lease,omitempty"`
	// Renewed is when it was last renewed, or else made.
	Renewed time.Time `json:"renewed,omitzero"`
	Error   string    `json:"error,omitempty"`
}

// Pod is what is judged of a pod.
type Pod struct {
	UID string `json:"uid,omitempty"`
	// Group is the kind and name of its controller, as ReplicaSet/web-7d4f; empty
	// where it has none.
	Group   string    `json:"group,omitempty"`
	Pending bool      `json:"pending,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Created is when it was made, Ready whether its condition says so, and QOS the
	// class that it has.
	Created time.Time          `json:"created,omitzero"`
	Ready   bool               `json:"ready,omitempty"`
	QOS     corev1.PodQOSClass `json:"qos,omitempty"`
	// Patched tells that the admission webhook says it patched the pod for this
	// object.
	Patched bool `json:"patched,omitempty"`
	// Place is what placing the pod depends on, given where pods must fit.
	Place *fit.Pod `json:"place,omitempty"`
	// Observed are the containers that the admission webhook saw, empty where it
	// does not say.
	Observed []string `json:"observed,omitempty"`
	// Containers have the resources in force.
	Containers []resourcepolicy.Container `json:"containers,omitempty"`
	// OOMs are the last terminations that were for lack of memory, by container.
	OOMs map[string]OOM `json:"ooms,omitempty"`
	// Resize is how a resize in place stands, nil where none is under way.
	Resize *resize.Status `json:"resize,omitempty"`
	// Spec is what a resize depends on besides, for the modes that resize.
	Spec *resize.Spec `json:"spec,omitempty"`
	// Boosts are set while containers have more CPU to start with, where the gate
	// CPUStartupBoost is on and the object asks for boosts.
	Boosts *Boosts `json:"boosts,omitempty"`
	// Usage is set where Config.MemoryByUsage asks for it.
	Usage *Usage `json:"usage,omitempty"`
	// Refused are the targets of the last turn's resize, where the API server said
	// that the node can never have room for it.
	Refused Targets `json:"refused,omitempty"`
}

// Targets are what was recommended, by container.
type Targets map[string]corev1.ResourceList

// OOM is one run of a container that ended for lack of memory.
type OOM struct {
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// Group is a controller of pods.
type Group struct {
	// Replicas is how many pods it wants. Without Counted it says no number, as a
	// Job, and wants those that there are.
	Replicas int32 `json:"replicas,omitempty"`
	Counted  bool  `json:"counted,omitempty"`
	// MaxUnavailable is that of a DaemonSet's rolling update, nil for others.
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// Error tells why the number is not known.
	Error string `json:"error,omitempty"`
}
