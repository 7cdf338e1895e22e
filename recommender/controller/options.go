package controller

import (
	"math"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/vertical/featureflag"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// Options are the recommender's own flags. Their names and defaults are those of
// the upstream recommender, as far as it has them.
type Options struct {
	// Name is the recommender's, as VPAs choose it in spec.recommenders.
	Name string
	// Interval is the time between passes, GCInterval between clean-ups of
	// checkpoints, CheckpointsTimeout what one write of checkpoints may take.
	Interval, GCInterval, CheckpointsTimeout time.Duration
	// Storage is where history is kept: empty or "checkpoint".
	Storage string
	// Workers is how many objects are decided on at the same time.
	Workers int
	// Namespace is the only one to look at, empty for all; Ignored are left out.
	Namespace string
	Ignored   []string
	// MaxCPU and MaxMemory bound containers whose policy states no maximum.
	MaxCPU, MaxMemory resource.QuantityValue
	// Sidecars tells that native sidecars are containers like the others.
	Sidecars bool
	// ExternalMetrics is upstream's flag of another source of usage; only off is
	// taken.
	ExternalMetrics bool
	// Prometheus is where history is with that storage.
	Prometheus PrometheusOptions
	// Features are the feature gates.
	Features featureflag.Options
	// Pacing bounds writes.
	Pacing Pacing
	// Rules are the flags that decisions are made by.
	Rules estimator.Config
}

// defaultName is chosen by VPAs that choose none.
const defaultName = "default"

// NewOptions gives the defaults.
func NewOptions() *Options {
	const day = 24 * time.Hour
	estimates := estimator.Estimates{Target: 0.9, Lower: 0.5, Upper: 0.95, Confidence: day, HalfLife: day, Round: 1}
	return &Options{
		Name: defaultName, Interval: time.Minute, GCInterval: 10 * time.Minute, CheckpointsTimeout: time.Minute, Workers: 10,
		Features: featureflag.New(), Prometheus: newPrometheusOptions(), Pacing: newPacing(),
		Rules: estimator.Config{
			Margin: 0.15, MinCPUMillicores: 25, MinMemoryMb: 250,
			CPU: estimates, Memory: estimates,
			PeakInterval: day, PeakIntervals: 8,
			OOMRatio: 1.2, OOMBytes: 100 * 1024 * 1024,
			CheckpointPeriod: 10 * time.Minute,
		},
	}
}

const (
	flagName               = "recommender-name"
	flagInterval           = "recommender-interval"
	flagGCInterval         = "checkpoints-gc-interval"
	flagCheckpointsTimeout = "checkpoints-timeout"
	flagCheckpointPeriod   = "checkpoints-interval"
	flagOnly               = "vpa-object-namespace"
	flagIgnored            = "ignored-vpa-object-namespaces"
	flagStorage            = "storage"
	flagWorkers            = "update-worker-count"
	flagMargin             = "recommendation-margin-fraction"
	flagMinCPU             = "pod-recommendation-min-cpu-millicores"
	flagMinMemory          = "pod-recommendation-min-memory-mb"
	flagPeakInterval       = "memory-aggregation-interval"
	flagPeakIntervals      = "memory-aggregation-interval-count"
	flagOOMRatio           = "oom-bump-up-ratio"
	flagOOMBytes           = "oom-min-bump-up-bytes"
)

// AddFlags registers the flags with their present values as defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	o.Features.AddFlags(fs)
	fs.StringVar(&o.Name, flagName, o.Name,
		"The name of this recommender. It serves the VPAs that name it in spec.recommenders; under the name default also those that name none.")
	fs.DurationVar(&o.Interval, flagInterval, o.Interval, "The time from one pass over all VPAs to the next.")
	fs.DurationVar(&o.GCInterval, flagGCInterval, o.GCInterval, "The time between clean-ups of checkpoints whose VPA is gone.")
	fs.DurationVar(&o.CheckpointsTimeout, flagCheckpointsTimeout, o.CheckpointsTimeout, "What writing one checkpoint may take.")
	fs.DurationVar(&o.Rules.CheckpointPeriod, flagCheckpointPeriod, o.Rules.CheckpointPeriod,
		"The time within which what was learned is in a checkpoint. Kills for memory and new peaks are written at once.")
	fs.StringVar(&o.Storage, flagStorage, o.Storage, "Where history is kept: checkpoint, which empty means too, or prometheus, which is read at the start and written nothing to.")
	fs.IntVar(&o.Workers, flagWorkers, o.Workers, "How many VPAs are decided on at the same time.")
	fs.StringVar(&o.Namespace, flagOnly, o.Namespace, "The only namespace to look for VPAs in. Empty looks in all.")
	fs.StringSliceVar(&o.Ignored, flagIgnored, o.Ignored, "Namespaces whose VPAs are left alone, separated by commas.")
	o.Pacing.addFlags(fs)
	o.addEstimateFlags(fs)
	o.addLearningFlags(fs)
	o.Prometheus.addFlags(fs)
	o.addUpstreamFlags(fs)
}

func (o *Options) addEstimateFlags(fs *pflag.FlagSet) {
	r := &o.Rules
	fs.Float64Var(&r.Margin, flagMargin, r.Margin, "The part that is added to the usage seen.")
	fs.Float64Var(&r.MinCPUMillicores, flagMinCPU, r.MinCPUMillicores, "The least CPU for a pod, divided between its containers.")
	fs.Float64Var(&r.MinMemoryMb, flagMinMemory, r.MinMemoryMb, "The least memory for a pod in MiB, divided between its containers.")
	for _, e := range o.estimates() {
		fs.Float64Var(&e.Target, "target-"+e.name+"-percentile", e.Target, "The percentile of usage that the "+e.name+" target is made from.")
		fs.Float64Var(&e.Lower, "recommendation-lower-bound-"+e.name+"-percentile", e.Lower, "The percentile of usage that the "+e.name+" lower bound is made from.")
		fs.Float64Var(&e.Upper, "recommendation-upper-bound-"+e.name+"-percentile", e.Upper, "The percentile of usage that the "+e.name+" upper bound is made from.")
		fs.DurationVar(&e.Confidence, "confidence-interval-"+e.name, e.Confidence, "The length of history that counts as full confidence in the "+e.name+" bounds.")
		fs.DurationVar(&e.HalfLife, e.name+"-histogram-decay-half-life", e.HalfLife, "The time in which a "+e.name+" sample loses half of its weight.")
	}
	fs.Int64Var(&r.CPU.Round, "round-cpu-millicores", r.CPU.Round, "CPU is rounded up to a multiple of so many millicores.")
	fs.Int64Var(&r.Memory.Round, "round-memory-bytes", r.Memory.Round, "Memory is rounded up to a multiple of so many bytes.")
	fs.DurationVar(&r.PeakInterval, flagPeakInterval, r.PeakInterval, "The time of which a container's highest memory usage is one sample.")
	fs.Int64Var(&r.PeakIntervals, flagPeakIntervals, r.PeakIntervals, "How many of these intervals history is kept without new samples.")
	fs.Float64Var(&r.OOMRatio, flagOOMRatio, r.OOMRatio, "What the memory of a container that was killed for memory is multiplied by at least.")
	fs.Float64Var(&r.OOMBytes, flagOOMBytes, r.OOMBytes, "How many bytes a container that was killed for memory is given more at least.")
	fs.Var(&o.MaxCPU, "container-recommendation-max-allowed-cpu", "The most CPU for a container whose policy states no maximum. 0 means no bound.")
	fs.Var(&o.MaxMemory, "container-recommendation-max-allowed-memory", "The most memory for a container whose policy states no maximum. 0 means no bound.")
}

// named is one resource's flags.
type named struct {
	name, roundFlag string
	*estimator.Estimates
}

func (o *Options) estimates() []named {
	return []named{
		{estimator.CPU, "round-cpu-millicores", &o.Rules.CPU},
		{estimator.Memory, "round-memory-bytes", &o.Rules.Memory},
	}
}

// The longest duration that flags of history take.
const longest = 366 * 24 * time.Hour

// Validate returns the first flag that cannot be used, named in the error.
func (o *Options) Validate() error {
	if o.Name == "" {
		return runtimeflags.Invalid(flagName, "must not be empty")
	}
	if err := o.validateUpstream(); err != nil {
		return err
	}
	if o.Workers < 1 {
		return runtimeflags.Invalid(flagWorkers, "must be at least 1, is %d", o.Workers)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{flagInterval, o.Interval}, {flagGCInterval, o.GCInterval}, {flagCheckpointsTimeout, o.CheckpointsTimeout},
		{flagCheckpointPeriod, o.Rules.CheckpointPeriod}, {flagPeakInterval, o.Rules.PeakInterval},
	} {
		if d.value < time.Second || d.value > longest {
			return runtimeflags.Invalid(d.flag, "must be from 1s to %s, is %s", longest, d.value)
		}
	}
	if n := o.Rules.PeakIntervals; n < 1 || n > 1000 {
		return runtimeflags.Invalid(flagPeakIntervals, "must be from 1 to 1000, is %d", n)
	}
	if err := o.Pacing.validate(); err != nil {
		return err
	}
	return o.validateEstimates()
}

func (o *Options) validateEstimates() error {
	for _, f := range []struct {
		flag  string
		value float64
	}{
		{flagMargin, o.Rules.Margin}, {flagMinCPU, o.Rules.MinCPUMillicores}, {flagMinMemory, o.Rules.MinMemoryMb},
		{flagOOMRatio, o.Rules.OOMRatio}, {flagOOMBytes, o.Rules.OOMBytes},
	} {
		if math.IsNaN(f.value) || f.value < 0 || f.value > 1e15 {
			return runtimeflags.Invalid(f.flag, "must be from 0 to 1e15, is %v", f.value)
		}
	}
	for _, e := range o.estimates() {
		for _, p := range []struct {
			flag  string
			value float64
		}{
			{"target-" + e.name + "-percentile", e.Target},
			{"recommendation-lower-bound-" + e.name + "-percentile", e.Lower},
			{"recommendation-upper-bound-" + e.name + "-percentile", e.Upper},
		} {
			if !(p.value > 0 && p.value <= 1) {
				return runtimeflags.Invalid(p.flag, "must be above 0 and at most 1, is %v", p.value)
			}
		}
		if e.Confidence < time.Second || e.Confidence > longest {
			return runtimeflags.Invalid("confidence-interval-"+e.name, "must be from 1s to %s, is %s", longest, e.Confidence)
		}
		if e.HalfLife < time.Second || e.HalfLife > longest {
			return runtimeflags.Invalid(e.name+"-histogram-decay-half-life", "must be from 1s to %s, is %s", longest, e.HalfLife)
		}
		if e.Round < 1 {
			return runtimeflags.Invalid(e.roundFlag, "must be at least 1, is %d", e.Round)
		}
	}
	return nil
}

// rules are the rules' flags with the bounds taken over.
func (o *Options) rules() estimator.Config {
	r := o.Rules
	r.CPU.Max, r.Memory.Max = o.MaxCPU.MilliValue(), o.MaxMemory.Value()
	r.PerVPAConfig = o.Features.Gates().PerVPAConfig
	if o.Storage == storagePrometheus {
		r.CheckpointPeriod = 0
	}
	return r
}
