package estimator

import (
	"time"

	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// Snapshot is everything that one decision is made from. It is a projection of
// our own: small, free of secrets, and the same after a pass through JSON. Empty
// and absent mean the same in every field.
type Snapshot struct {
	Now    time.Time `json:"now"`
	Mode   string    `json:"mode"`
	Config Config    `json:"config"`
	VPA    VPA       `json:"vpa"`
	// Policy is the VerticalScalingPolicy that holds for the object, nil for none.
	Policy *verticalpolicy.Recommender `json:"policy,omitempty"`
	// Writer is another recommender that is at work, where there is one.
	Writer *Writer `json:"writer,omitempty"`
	// Fetching tells why what was learned before is not at hand yet: nothing is
	// learned or recommended without it.
	Fetching string `json:"fetching,omitempty"`
	// TargetError tells why the target's pods are not known.
	TargetError string `json:"targetError,omitempty"`
	// UsageError tells why no usage is known.
	UsageError string `json:"usageError,omitempty"`
	// Horizontals scale the target by the utilization of its requests.
	Horizontals []Horizontal `json:"horizontals,omitempty"`
	// Histories are what new containers may begin from, where the policy says so.
	Histories []History `json:"histories,omitempty"`
	// Pods are the target's pods that have been started, by name.
	Pods map[string]Pod `json:"pods,omitempty"`
}

// Modes of the binary.
const (
	ModeRecommend = "Recommend"
	ModeAuto      = "Auto"
)

// Config is what the flags say. Durations are nanoseconds in JSON.
type Config struct {
	// Margin is the part that is added to what was seen.
	Margin float64 `json:"margin"`
	// MinCPUMillicores and MinMemoryMb are the least that a pod is given, divided
	// between its containers. Mb are 2^20 bytes.
	MinCPUMillicores float64   `json:"minCPUMillicores"`
	MinMemoryMb      float64   `json:"minMemoryMb"`
	CPU              Estimates `json:"cpu"`
	Memory           Estimates `json:"memory"`
	// PeakInterval is the time of which a container's highest memory usage is one
	// sample; PeakIntervals is how many of them history is kept without usage.
	PeakInterval  time.Duration `json:"peakInterval"`
	PeakIntervals int64         `json:"peakIntervals"`
	// OOMRatio and OOMBytes are what a container that was killed for memory is
	// given more than it had: by the ratio, and by as many bytes at least.
	OOMRatio float64 `json:"oomRatio"`
	OOMBytes float64 `json:"oomBytes"`
	// OOMCountLimit tells that the limit of a container that was killed counts as
	// what it had. OOMStopAtMax tells that a kill asks for no more than is allowed.
	OOMCountLimit bool `json:"oomCountLimit,omitempty"`
	OOMStopAtMax  bool `json:"oomStopAtMax,omitempty"`
	// PerVPAConfig is the feature gate: policies' Tuning counts. WholeCPU tells that
	// objects may ask for CPU in whole cores.
	PerVPAConfig bool `json:"perVPAConfig,omitempty"`
	WholeCPU     bool `json:"wholeCPU,omitempty"`
	// Humanize tells that memory is cut to two decimals of its binary unit.
	Humanize bool `json:"humanize,omitempty"`
	// CheckpointPeriod is the time within which what was learned is to be in a
	// checkpoint; 0 writes none.
	CheckpointPeriod time.Duration `json:"checkpointPeriod,omitempty"`
	// BoundsTolerance is the part by which bounds alone may differ from those that
	// the status shows before it is written again; 0 writes each change.
	BoundsTolerance float64 `json:"boundsTolerance,omitempty"`
}

// Estimates are the flags of one resource.
type Estimates struct {
	Target float64 `json:"target"`
	Lower  float64 `json:"lower"`
	Upper  float64 `json:"upper"`
	// Confidence is the length of history that counts as a confidence of 1.
	Confidence time.Duration `json:"confidence"`
	HalfLife   time.Duration `json:"halfLife"`
	// Margin is in place of Config.Margin.
	Margin *float64 `json:"margin,omitempty"`
	// Round is what amounts are rounded up to a multiple of.
	Round int64 `json:"round"`
	// Max is the most for a container whose policy states none, 0 for no bound.
	Max int64 `json:"max,omitempty"`
}

// VPA is the projection of the object.
type VPA struct {
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
	Target     Target `json:"target"`
	// Passive tells that its updateMode has nobody act on what is recommended.
	Passive bool `json:"passive,omitempty"`
	// Policies are spec.resourcePolicy.containerPolicies in their order.
	Policies []Policy `json:"policies,omitempty"`
	// WholeCPU are the containers whose CPU is to be rounded up to whole cores,
	// sorted.
	WholeCPU []string `json:"wholeCPU,omitempty"`
	// Recommended is what the status recommends.
	Recommended Recommendation `json:"recommended,omitempty"`
	// Conditions are the types of conditions that the status shows, sorted.
	Conditions []string `json:"conditions,omitempty"`
}

// Target is spec.targetRef.
type Target struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// Policy is one container's policy, or all others' under the name "*".
type Policy struct {
	Container string  `json:"container"`
	Off       bool    `json:"off,omitempty"`
	Min       Amounts `json:"min,omitzero"`
	Max       Amounts `json:"max,omitzero"`
	// Limited tells that Controlled names the resources to recommend; otherwise
	// both are.
	Limited    bool     `json:"limited,omitempty"`
	Controlled []string `json:"controlled,omitempty"`
	// Tuning is in place of the flags, where the feature gate is on.
	Tuning Tuning `json:"tuning,omitzero"`
}

// Pod is one pod's containers and what they were measured to use.
type Pod struct {
	// Sampled is the time of the usage, zero where there is none.
	Sampled    time.Time            `json:"sampled,omitzero"`
	Containers map[string]Container `json:"containers,omitempty"`
}

// Container is one container of a pod.
type Container struct {
	// Usage is CPU in millicores and memory in bytes.
	Usage Amounts `json:"usage,omitzero"`
	// Killed is when it was last killed for memory. Request and Limit are the
	// memory that it requested and was held to then, in bytes; 0 is none.
	Killed  time.Time `json:"killed,omitzero"`
	Request int64     `json:"request,omitempty"`
	Limit   int64     `json:"limit,omitempty"`
	// Evicted is when its pod was evicted from a node that ran out of memory, with
	// what the container used then as the request.
	Evicted *Kill `json:"evicted,omitempty"`
	// Requests are what it requests, and there where the policy bounds.
	Requests Amounts `json:"requests,omitzero"`
	// Image is without tag and digest, and there where the policy has coldStart.
	Image string `json:"image,omitempty"`
}

// Writer is another recommender. AfterUs tells that it wrote this object after
// we had.
type Writer struct {
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	AfterUs bool      `json:"afterUs,omitempty"`
	// Lease tells that it was seen by its lease, not by a write.
	Lease bool `json:"lease,omitempty"`
}
