package controller

import (
	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/vertical/upstreamflags"
)

const flagExternal = "use-external-metrics"

// addUpstreamFlags registers upstream's flags that have no effect here.
func (o *Options) addUpstreamFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.ExternalMetrics, flagExternal, o.ExternalMetrics, "Not served: usage comes from metrics.k8s.io. Only false is taken.")
	const instead = "usage comes from metrics.k8s.io"
	upstreamflags.Add(fs, upstreamflags.Logging(), upstreamflags.Leases("vpa-recommender-lease"), upstreamflags.Serving(":8942"),
		[]upstreamflags.Flag{
			{Name: "memory-saver", Default: "false", Type: upstreamflags.Bool, Instead: "only pods that have a VPA are learned from"},
			{Name: "min-checkpoints", Default: "10", Type: upstreamflags.Int, Instead: "what was learned is written in time, whatever it is"},
			{Name: "external-metrics-cpu-metric", Type: upstreamflags.String, Instead: instead},
			{Name: "external-metrics-memory-metric", Type: upstreamflags.String, Instead: instead},
		})
}

// validateUpstream refuses what upstream would refuse, and what is not served.
func (o *Options) validateUpstream() error {
	switch {
	case o.Storage != "" && o.Storage != storageCheckpoint && o.Storage != storagePrometheus:
		return runtimeflags.Invalid(flagStorage, "%q is not one of checkpoint and prometheus", o.Storage)
	case o.ExternalMetrics:
		return runtimeflags.Invalid(flagExternal, "is not served: usage comes from metrics.k8s.io")
	case o.Namespace != "" && len(o.Ignored) > 0:
		return runtimeflags.Invalid(flagIgnored, "and --%s exclude one another", flagOnly)
	case o.Storage == storagePrometheus:
		return o.Prometheus.validate()
	}
	return nil
}
