package controller

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// Options are the controller's own flags. Their names and defaults are those of
// kube-controller-manager, as far as it has them.
type Options struct {
	// ConcurrentSyncs is how many objects are decided on at the same time.
	ConcurrentSyncs int
	// ReactToMetricChanges has an object decided on at once when an external metric
	// of its changes, where the metrics adapter tells of it.
	ReactToMetricChanges bool
	// Rules are the flags that decisions are made by.
	Rules replicas.Config
}

// NewOptions gives the defaults.
func NewOptions() *Options {
	return &Options{
		ConcurrentSyncs: 5, ReactToMetricChanges: true,
		Rules: replicas.Config{
			SyncPeriod:              15 * time.Second,
			Tolerance:               0.1,
			DownscaleStabilization:  5 * time.Minute,
			CPUInitializationPeriod: 5 * time.Minute,
			InitialReadinessDelay:   30 * time.Second,
		},
	}
}

const (
	flagReact          = "react-to-metric-changes"
	flagSyncs          = "concurrent-horizontal-pod-autoscaler-syncs"
	flagSyncPeriod     = "horizontal-pod-autoscaler-sync-period"
	flagStabilization  = "horizontal-pod-autoscaler-downscale-stabilization"
	flagTolerance      = "horizontal-pod-autoscaler-tolerance"
	flagInitialization = "horizontal-pod-autoscaler-cpu-initialization-period"
	flagReadinessDelay = "horizontal-pod-autoscaler-initial-readiness-delay"
	flagUpscaleDelay   = "horizontal-pod-autoscaler-upscale-delay"
	flagDownscaleDelay = "horizontal-pod-autoscaler-downscale-delay"
)

// AddFlags registers the flags with their present values as defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.IntVar(&o.ConcurrentSyncs, flagSyncs, o.ConcurrentSyncs,
		"How many objects are decided on at the same time. More react faster and ask the API server and the metrics APIs for more at once.")
	fs.BoolVar(&o.ReactToMetricChanges, flagReact, o.ReactToMetricChanges,
		"Decide on an object at once when an external metric of its changes, where metrics-adapter tells of it. Off, objects are decided on by the sync period only.")
	fs.DurationVar(&o.Rules.SyncPeriod, flagSyncPeriod, o.Rules.SyncPeriod,
		"The time from one decision on an object to the next.")
	fs.DurationVar(&o.Rules.DownscaleStabilization, flagStabilization, o.Rules.DownscaleStabilization,
		"How far back recommendations hold a count up, for objects that do not say so in spec.behavior.")
	fs.Float64Var(&o.Rules.Tolerance, flagTolerance, o.Rules.Tolerance,
		"The least deviation of a metric from its target, as a part of 1, that changes a count. spec.behavior may say otherwise for an object.")
	fs.DurationVar(&o.Rules.CPUInitializationPeriod, flagInitialization, o.Rules.CPUInitializationPeriod,
		"The time after a pod's start in which its CPU samples may be start-up work and count only once it is ready.")
	fs.DurationVar(&o.Rules.InitialReadinessDelay, flagReadinessDelay, o.Rules.InitialReadinessDelay,
		"The time after a pod's start in which a change to unready is taken as never having been ready.")
	fs.DurationVar(&o.Rules.UpscaleDelay, flagUpscaleDelay, o.Rules.UpscaleDelay,
		"The time after a scale-up in which the same object is not scaled up again. 0 means none.")
	fs.DurationVar(&o.Rules.DownscaleDelay, flagDownscaleDelay, o.Rules.DownscaleDelay,
		"The time after a scale-down in which the same object is not scaled down again. 0 means none.")
}

// Validate returns the first flag that cannot be used, named in the error.
func (o *Options) Validate() error {
	if o.ConcurrentSyncs < 1 {
		return runtimeflags.Invalid(flagSyncs, "must be at least 1, is %d", o.ConcurrentSyncs)
	}
	if o.Rules.SyncPeriod < time.Second {
		return runtimeflags.Invalid(flagSyncPeriod, "must be at least 1s, is %s", o.Rules.SyncPeriod)
	}
	if t := o.Rules.Tolerance; t != t || t < 0 || t >= 1 {
		return runtimeflags.Invalid(flagTolerance, "must be at least 0 and below 1, is %v", t)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{flagStabilization, o.Rules.DownscaleStabilization},
		{flagInitialization, o.Rules.CPUInitializationPeriod},
		{flagReadinessDelay, o.Rules.InitialReadinessDelay},
		{flagUpscaleDelay, o.Rules.UpscaleDelay},
		{flagDownscaleDelay, o.Rules.DownscaleDelay},
	} {
		if d.value < 0 {
			return runtimeflags.Invalid(d.flag, "must not be negative, is %s", d.value)
		}
	}
	return nil
}
