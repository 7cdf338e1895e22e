package controller

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// Options are the scaler's own flags. Where Cluster Autoscaler has the flag too,
// it has its name and default. Pools may say otherwise for themselves.
type Options struct {
	// ScanInterval is the time from one plan to the next.
	ScanInterval time.Duration
	// Rules are the flags that plans are made by.
	Rules nodepool.Config
}

// NewOptions gives the defaults.
func NewOptions() *Options {
	return &Options{
		ScanInterval: 10 * time.Second,
		Rules: nodepool.Config{
			ProvisionTimeout:            15 * time.Minute,
			BackoffInitial:              5 * time.Minute,
			BackoffMax:                  30 * time.Minute,
			UnneededFor:                 10 * time.Minute,
			DelayAfterAdd:               10 * time.Minute,
			UtilizationThresholdPercent: 50,
			DrainTimeout:                10 * time.Minute,
			DrainBackoff:                5 * time.Minute,
			ExpendablePriorityCutoff:    -10,
		},
	}
}

const (
	flagScan        = "scan-interval"
	flagProvision   = "max-node-provision-time"
	flagBackoff     = "initial-node-group-backoff-duration"
	flagBackoffMax  = "max-node-group-backoff-duration"
	flagUnneeded    = "scale-down-unneeded-time"
	flagAfterAdd    = "scale-down-delay-after-add"
	flagUtilization = "scale-down-utilization-threshold-percent"
	flagDrain       = "drain-timeout"
	flagDrainPause  = "drain-backoff"
	flagCutoff      = "expendable-pods-priority-cutoff"
)

// AddFlags registers the flags with their present values as defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.DurationVar(&o.ScanInterval, flagScan, o.ScanInterval,
		"The time from one plan to the next. A pod that becomes unschedulable has a plan made at once.")
	fs.DurationVar(&o.Rules.ProvisionTimeout, flagProvision, o.Rules.ProvisionTimeout,
		"How long a node may take to become ready before it counts as failed.")
	fs.DurationVar(&o.Rules.BackoffInitial, flagBackoff, o.Rules.BackoffInitial,
		"How long a pool is not asked for nodes after a node failed; it doubles with each failure in a row.")
	fs.DurationVar(&o.Rules.BackoffMax, flagBackoffMax, o.Rules.BackoffMax,
		"The longest that a pool is not asked for nodes after failures.")
	fs.DurationVar(&o.Rules.UnneededFor, flagUnneeded, o.Rules.UnneededFor,
		"How long a node must have been unneeded before it is drained.")
	fs.DurationVar(&o.Rules.DelayAfterAdd, flagAfterAdd, o.Rules.DelayAfterAdd,
		"How long after a pool grew none of its nodes is drained.")
	fs.Int32Var(&o.Rules.UtilizationThresholdPercent, flagUtilization, o.Rules.UtilizationThresholdPercent,
		"The part of a node's CPU or memory, whichever is more, up to which it may be requested for the node to be unneeded.")
	fs.DurationVar(&o.Rules.DrainTimeout, flagDrain, o.Rules.DrainTimeout,
		"How long a drain may go on without a pod leaving before it is undone.")
	fs.DurationVar(&o.Rules.DrainBackoff, flagDrainPause, o.Rules.DrainBackoff,
		"How long a node is left alone after its drain was undone; it doubles with each time in a row.")
	fs.Int32Var(&o.Rules.ExpendablePriorityCutoff, flagCutoff, o.Rules.ExpendablePriorityCutoff,
		"Pods of a lower priority make no pool grow.")
}

// Validate returns the first flag that cannot be used, named in the error.
func (o *Options) Validate() error {
	if o.ScanInterval < 100*time.Millisecond {
		return runtimeflags.Invalid(flagScan, "must be at least 100ms, is %s", o.ScanInterval)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{flagProvision, o.Rules.ProvisionTimeout}, {flagBackoff, o.Rules.BackoffInitial},
		{flagDrain, o.Rules.DrainTimeout}, {flagDrainPause, o.Rules.DrainBackoff},
	} {
		if d.value <= 0 {
			return runtimeflags.Invalid(d.flag, "must be above 0, is %s", d.value)
		}
	}
	switch {
	case o.Rules.BackoffMax < o.Rules.BackoffInitial:
		return runtimeflags.Invalid(flagBackoffMax, "must be at least --%s, is %s", flagBackoff, o.Rules.BackoffMax)
	case o.Rules.UnneededFor < 0:
		return runtimeflags.Invalid(flagUnneeded, "must not be negative, is %s", o.Rules.UnneededFor)
	case o.Rules.DelayAfterAdd < 0:
		return runtimeflags.Invalid(flagAfterAdd, "must not be negative, is %s", o.Rules.DelayAfterAdd)
	case o.Rules.UtilizationThresholdPercent < 0 || o.Rules.UtilizationThresholdPercent > 100:
		return runtimeflags.Invalid(flagUtilization, "must be from 0 to 100, is %d", o.Rules.UtilizationThresholdPercent)
	}
	return nil
}
