package controller

import (
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/vertical/featureflag"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// Options are the updater's own flags. Their names and defaults are upstream's.
type Options struct {
	// Namespace is the only one to look at, empty for all; Ignored are left out.
	Namespace string
	Ignored   []string
	// Interval is the time from one pass over all objects to the next.
	Interval time.Duration
	// RateLimit is in evictions per second, and for itself in resizes, none where it
	// is not above 0; Burst is how many may be at once.
	RateLimit float64
	Burst     int
	// LeaseName and LeaseNamespace are the admission webhook's. An empty namespace
	// is that of the leader election.
	LeaseName, LeaseNamespace string
	// Features are the feature gates.
	Features featureflag.Options
	// MemoryDecrease is Always, or WhenUsageAllows.
	MemoryDecrease string
	// Kind are the flags about being kind to workloads.
	Kind KindOptions
	// Rules are the flags that decisions are made by.
	Rules eviction.Config
}

// NewOptions gives the defaults.
func NewOptions() *Options {
	return &Options{
		Interval:  time.Minute,
		RateLimit: -1,
		Burst:     1,
		LeaseName: "vpa-admission-controller",

		MemoryDecrease: memoryAlways,
		Features:       featureflag.New(),
		Kind:           newKindOptions(),
		Rules: eviction.Config{
			MinReplicas: 2, Tolerance: 0.5, UpdateThreshold: 0.1, PodLifetime: 12 * time.Hour,
			OOMThreshold: 10 * time.Minute, NeedsAdmission: true, LeaseTimeout: time.Minute,
		},
	}
}

const (
	flagInterval       = "updater-interval"
	flagMinReplicas    = "min-replicas"
	flagTolerance      = "eviction-tolerance"
	flagRateLimit      = "eviction-rate-limit"
	flagBurst          = "eviction-rate-burst"
	flagNeedsAdmission = "use-admission-controller-status"
	flagLeaseName      = "admission-controller-status-lease-name"
	flagLeaseNamespace = "admission-controller-status-lease-namespace"
	flagLeaseTimeout   = "admission-controller-status-lease-timeout"
	flagThreshold      = "pod-update-threshold"
	flagLifetime       = "in-recommendation-bounds-eviction-lifetime-threshold"
	flagOOM            = "evict-after-oom-threshold"
	flagNamespace      = "vpa-object-namespace"
	flagIgnored        = "ignored-vpa-object-namespaces"
	flagMemoryDecrease = "in-place-memory-decrease"
	flagSkipBudget     = "in-place-skip-disruption-budget"
)

// When resizes lower memory.
const (
	memoryAlways  = "Always"
	memoryByUsage = "WhenUsageAllows"
)

// AddFlags registers the flags with their present values as defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	o.Features.AddFlags(fs)
	fs.StringVar(&o.Namespace, flagNamespace, o.Namespace, "The only namespace to look for VPAs in. Empty looks in all.")
	fs.StringSliceVar(&o.Ignored, flagIgnored, o.Ignored, "Namespaces whose VPAs are left alone, separated by commas.")
	fs.DurationVar(&o.Interval, flagInterval, o.Interval, "The time from one pass over all VerticalPodAutoscalers to the next.")
	fs.IntVar(&o.Rules.MinReplicas, flagMinReplicas, o.Rules.MinReplicas,
		"The least number of live pods that a controller must have for any of them to be evicted. updatePolicy.minReplicas may say otherwise for an object.")
	fs.Float64Var(&o.Rules.Tolerance, flagTolerance, o.Rules.Tolerance,
		"The part of a controller's replicas, of 1, that may be away for updates, where that is more than one pod.")
	fs.Float64Var(&o.RateLimit, flagRateLimit, o.RateLimit, "Evictions per second, and resizes in place per second. 0 or less means no limit.")
	fs.IntVar(&o.Burst, flagBurst, o.Burst, "Evictions at once, and resizes at once, above the sustained rate.")
	fs.BoolVar(&o.Rules.NeedsAdmission, flagNeedsAdmission, o.Rules.NeedsAdmission,
		"Evict only while the admission webhook keeps its lease fresh, since pods would come back unpatched otherwise.")
	fs.StringVar(&o.LeaseName, flagLeaseName, o.LeaseName, "Name of the admission webhook's lease.")
	fs.StringVar(&o.LeaseNamespace, flagLeaseNamespace, o.LeaseNamespace, "Namespace of the admission webhook's lease. Empty uses that of the leader election.")
	fs.DurationVar(&o.Rules.LeaseTimeout, flagLeaseTimeout, o.Rules.LeaseTimeout, "The age from which the admission webhook's lease is stale.")
	fs.Float64Var(&o.Rules.UpdateThreshold, flagThreshold, o.Rules.UpdateThreshold,
		"The least difference between a pod's requests and its targets, relative and summed over resources, for which a pod within its bounds is evicted.")
	fs.DurationVar(&o.Rules.PodLifetime, flagLifetime, o.Rules.PodLifetime, "The age from which a pod within its bounds may be evicted.")
	fs.DurationVar(&o.Rules.OOMThreshold, flagOOM, o.Rules.OOMThreshold,
		"A container that was killed for lack of memory within this time of its start has its pod evicted, if that was not longer ago than this.")
	fs.StringVar(&o.MemoryDecrease, flagMemoryDecrease, o.MemoryDecrease,
		"When a resize in place may lower a container's memory limit: Always, or WhenUsageAllows, which asks metrics.k8s.io whether less is used and else leaves memory as it is.")
	fs.BoolVar(&o.Rules.SkipBudget, flagSkipBudget, o.Rules.SkipBudget,
		"Resize pods in place without regard to min-replicas and eviction-tolerance, where no container has a resize policy that restarts it.")
	o.Kind.addFlags(fs, &o.Rules)
}

// serves tells whether objects of a namespace are looked at.
func (o *Options) serves(namespace string) bool {
	return (o.Namespace == "" || o.Namespace == namespace) && !slices.Contains(o.Ignored, namespace)
}

// Validate returns the first flag that cannot be used, named in the error.
func (o *Options) Validate() error {
	switch r := o.Rules; {
	case o.Namespace != "" && len(o.Ignored) > 0:
		return runtimeflags.Invalid(flagIgnored, "cannot be set together with --%s", flagNamespace)
	case o.Interval < time.Second:
		return runtimeflags.Invalid(flagInterval, "must be at least 1s, is %s", o.Interval)
	case r.MinReplicas < 0:
		return runtimeflags.Invalid(flagMinReplicas, "must not be negative, is %d", r.MinReplicas)
	case r.Tolerance != r.Tolerance || r.Tolerance < 0 || r.Tolerance > 1:
		return runtimeflags.Invalid(flagTolerance, "must be from 0 to 1, is %v", r.Tolerance)
	case o.RateLimit > 0 && o.Burst < 1:
		return runtimeflags.Invalid(flagBurst, "must be at least 1, is %d", o.Burst)
	case o.MemoryDecrease != memoryAlways && o.MemoryDecrease != memoryByUsage:
		return runtimeflags.Invalid(flagMemoryDecrease, "%q is not one of %s, %s", o.MemoryDecrease, memoryAlways, memoryByUsage)
	case o.LeaseName == "":
		return runtimeflags.Invalid(flagLeaseName, "must not be empty")
	case r.LeaseTimeout <= 0:
		return runtimeflags.Invalid(flagLeaseTimeout, "must be above 0, is %s", r.LeaseTimeout)
	case r.UpdateThreshold != r.UpdateThreshold || r.UpdateThreshold < 0:
		return runtimeflags.Invalid(flagThreshold, "must not be negative, is %v", r.UpdateThreshold)
	case r.PodLifetime < 0:
		return runtimeflags.Invalid(flagLifetime, "must not be negative, is %s", r.PodLifetime)
	case r.OOMThreshold < 0:
		return runtimeflags.Invalid(flagOOM, "must not be negative, is %s", r.OOMThreshold)
	}
	return o.Kind.validate(o.Rules.Kindness)
}
