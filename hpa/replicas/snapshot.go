package replicas

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
)

// Snapshot is everything that one decision is made from. It is a projection of
// our own: small, free of secrets, and the same after a pass through JSON. Empty
// and absent mean the same in every field.
type Snapshot struct {
	Now    time.Time `json:"now"`
	Mode   string    `json:"mode"`
	Config Config    `json:"config"`
	Gates  Gates     `json:"gates"`
	HPA    HPA       `json:"hpa"`
	// Policy is what is attached to the object, nil for nothing.
	Policy *Policy `json:"policy,omitempty"`
	Scale  Scale   `json:"scale"`
	// Setter is who else owns the target's count, the last where there are several;
	// nil where nobody does or it is not known.
	Setter *Setter `json:"setter,omitempty"`
	// Sharers are other objects that scale the same target, as "Kind name", sorted.
	Sharers []string `json:"sharers,omitempty"`
	// Verticals are the VerticalPodAutoscalers of the target that act, by name.
	Verticals []Vertical `json:"verticals,omitempty"`
	// Rollout is the target's last rollout, nil where none is known.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Writer is another controller that writes the object's status, where there
	// is one.
	Writer *Writer `json:"writer,omitempty"`
	// Rivals are the HPAs (namespace/name, sorted, this one among them) whose
	// selectors match a pod of this one. Fewer than two mean none.
	Rivals []string `json:"rivals,omitempty"`
	// Pods are the pods that the target's selector matches and the target owns, by
	// name. Strays are those that it matches and does not own.
	Pods   map[string]Pod `json:"pods,omitempty"`
	Strays *Strays        `json:"strays,omitempty"`
	// Samples are what the metrics APIs answered, by Key of the metric's index.
	Samples map[string]Samples `json:"samples,omitempty"`
}

// Modes of the binary.
const (
	ModeRecommend = "Recommend"
	ModeAuto      = "Auto"
)

// Config is what the flags say. Durations are nanoseconds in JSON.
type Config struct {
	SyncPeriod              time.Duration `json:"syncPeriod"`
	Tolerance               float64       `json:"tolerance"`
	DownscaleStabilization  time.Duration `json:"downscaleStabilization"`
	CPUInitializationPeriod time.Duration `json:"cpuInitializationPeriod"`
	InitialReadinessDelay   time.Duration `json:"initialReadinessDelay"`
	UpscaleDelay            time.Duration `json:"upscaleDelay,omitempty"`
	DownscaleDelay          time.Duration `json:"downscaleDelay,omitempty"`
}

// Gates are the features that can be switched off.
type Gates struct {
	// ScaleToZero lets a count of 0 that we wrote be left again.
	ScaleToZero bool `json:"scaleToZero"`
}

// HPA is the projection of the object, a HorizontalPodAutoscaler or a
// HorizontalScaler.
type HPA struct {
	// Kind is empty for a HorizontalPodAutoscaler.
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
	Target     Target `json:"target"`
	// Min is spec.minReplicas, 1 where unset.
	Min     int32    `json:"min"`
	Max     int32    `json:"max"`
	Metrics []Metric `json:"metrics,omitempty"`
	// Behavior is spec.behavior after defaulting, nil where unset.
	Behavior *behavior.Behavior `json:"behavior,omitempty"`
	Status   ObservedStatus     `json:"status"`
}

// Target is spec.scaleTargetRef.
type Target struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// text names the target as messages do: "Deployment web".
func (t Target) text() string { return t.Kind + " " + t.Name }

// ObservedStatus is what the rules need of the status as it was last written.
type ObservedStatus struct {
	CurrentReplicas int32 `json:"currentReplicas"`
	DesiredReplicas int32 `json:"desiredReplicas"`
	// LastScaleTime is in whole seconds.
	LastScaleTime time.Time `json:"lastScaleTime,omitzero"`
	// ScaledToZero tells whether the condition of that name is True: it tells our
	// own zero from a person's.
	ScaledToZero bool `json:"scaledToZero,omitempty"`
	// Shown are the conditions of our own making that the object shows, sorted.
	Shown []string `json:"shown,omitempty"`
}

// Metric is one entry of spec.metrics. Quantities are in thousandths.
type Metric struct {
	// Type is the metric source type of autoscaling/v2.
	Type string `json:"type"`
	// Name is the metric's, for resources the resource's.
	Name      string                `json:"name"`
	Container string                `json:"container,omitempty"`
	Object    *Target               `json:"object,omitempty"`
	Selector  *metav1.LabelSelector `json:"selector,omitempty"`
	// TargetType is Utilization, Value or AverageValue.
	TargetType         string `json:"targetType,omitempty"`
	Value              *int64 `json:"value,omitempty"`
	AverageValue       *int64 `json:"averageValue,omitempty"`
	AverageUtilization *int32 `json:"averageUtilization,omitempty"`
}

// Metric source types of autoscaling/v2.
const (
	Resource          = "Resource"
	ContainerResource = "ContainerResource"
	Pods              = "Pods"
	Object            = "Object"
	External          = "External"
)

// Types of a metric's target.
const (
	TargetValue        = "Value"
	TargetAverageValue = "AverageValue"
)

// CPU is the resource whose samples are judged by the pod's readiness.
const CPU = "cpu"

// Scale is the target's scale subresource, or why it could not be read.
type Scale struct {
	// Error is the text of what failed; InvalidTarget that the reference itself
	// is wrong.
	Error         string `json:"error,omitempty"`
	InvalidTarget bool   `json:"invalidTarget,omitempty"`
	// Spec is the count asked for, Status the count that exists.
	Spec   int32 `json:"spec"`
	Status int32 `json:"status"`
	// Selector is the scale's selector, as text.
	Selector string `json:"selector,omitempty"`
	// SelectorError tells why Selector cannot be parsed.
	SelectorError string `json:"selectorError,omitempty"`
}

// Pod is what is judged of a pod.
type Pod struct {
	// Phase is empty for Running.
	Phase    string    `json:"phase,omitempty"`
	Deleting bool      `json:"deleting,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	// Ready is the status of the Ready condition, empty where there is none;
	// ReadySince is its last transition.
	Ready      string    `json:"ready,omitempty"`
	ReadySince time.Time `json:"readySince,omitzero"`
	// Requests are in thousandths by RequestKey, for the metrics that are
	// percentages of a request. Unset tells, by the same key, why a request is
	// not known.
	Requests map[string]int64  `json:"requests,omitempty"`
	Unset    map[string]string `json:"unset,omitempty"`
}

// Phases of a pod that the rules tell apart. Running is the empty phase.
const (
	phasePending = "Pending"
	phaseFailed  = "Failed"
)

// RequestKey names a request of a pod: the resource, or the resource of one
// container.
func RequestKey(resource, container string) string {
	if container == "" {
		return resource
	}
	return container + "/" + resource
}

// Samples are the answer to one metric.
type Samples struct {
	// Error is the metrics API's refusal; nothing else is set then.
	Error string `json:"error,omitempty"`
	// SelectorError tells why the metric's selector cannot be used; the API was
	// not asked then.
	SelectorError string `json:"selectorError,omitempty"`
	// At is the time of the first sample.
	At time.Time `json:"at,omitzero"`
	// Oldest is the time of the oldest series where that is before At, or where
	// the first has no time.
	Oldest time.Time `json:"oldest,omitzero"`
	// Pods are the samples by pod, for Resource, ContainerResource and Pods.
	Pods map[string]PodSample `json:"pods,omitempty"`
	// Values are the series of an External metric, or the one of an Object, in
	// thousandths.
	Values []int64 `json:"values,omitempty"`
}

// PodSample is one pod's value in thousandths, averaged over the window before At.
type PodSample struct {
	Value  int64         `json:"value"`
	At     time.Time     `json:"at,omitzero"`
	Window time.Duration `json:"window,omitempty"`
}

// Writer is another controller that writes the status.
type Writer struct {
	Manager string    `json:"manager"`
	At      time.Time `json:"at"`
}
