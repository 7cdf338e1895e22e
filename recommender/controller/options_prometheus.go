package controller

import (
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/recommender/history"
)

// The values of --storage.
const (
	storageCheckpoint = "checkpoint"
	storagePrometheus = "prometheus"
)

// PrometheusOptions are upstream's flags of the history in Prometheus.
type PrometheusOptions struct {
	history.Config
	// Timeout is the text of a duration, as upstream has it.
	Timeout string
}

func newPrometheusOptions() PrometheusOptions {
	return PrometheusOptions{Config: history.Defaults(), Timeout: "5m"}
}

const (
	flagPrometheusAddress = "prometheus-address"
	flagPrometheusTimeout = "prometheus-query-timeout"
)

func (o *PrometheusOptions) addFlags(fs *pflag.FlagSet) {
	c := &o.Config
	for _, f := range []struct {
		value       *string
		name, usage string
	}{
		{&c.Address, flagPrometheusAddress, "With --storage=prometheus, the URL of Prometheus."},
		{&o.Timeout, flagPrometheusTimeout, "With --storage=prometheus, what one query may take."},
		{&c.Job, "prometheus-cadvisor-job-name", "With --storage=prometheus, the label job of the containers' metrics. Empty takes those of any job."},
		{&c.Length, "history-length", "With --storage=prometheus, how far history goes back."},
		{&c.Resolution, "history-resolution", "With --storage=prometheus, the time between two usages of the history."},
		{&c.CPUMetric, "history-cpu-metric", "With --storage=prometheus, the counter of CPU seconds."},
		{&c.MemoryMetric, "history-memory-metric", "With --storage=prometheus, the gauge of memory in use."},
		{&c.Labels, "metric-for-pod-labels", "With --storage=prometheus, an expression whose series have the pods' labels. With a range as in METRIC[8d], also those of pods that are gone."},
		{&c.LabelPrefix, "pod-label-prefix", "With --storage=prometheus, the prefix of the pods' labels in those series."},
		{&c.LabelsNamespace, "pod-namespace-label", "With --storage=prometheus, the label of those series that names the namespace."},
		{&c.LabelsPod, "pod-name-label", "With --storage=prometheus, the label of those series that names the pod."},
		{&c.Namespace, "container-namespace-label", "With --storage=prometheus, the label of the containers' metrics that names the namespace."},
		{&c.Pod, "container-pod-name-label", "With --storage=prometheus, the label of the containers' metrics that names the pod."},
		{&c.Container, "container-name-label", "With --storage=prometheus, the label of the containers' metrics that names the container."},
		{&c.Username, "username", "With --storage=prometheus, the user. Empty takes the environment variable PROMETHEUS_USERNAME."},
		{&c.Password, "password", "With --storage=prometheus, the user's password. Empty takes the environment variable PROMETHEUS_PASSWORD."},
		{&c.BearerToken, "prometheus-bearer-token", "With --storage=prometheus, the token to show."},
		{&c.BearerTokenFile, "prometheus-bearer-token-file", "With --storage=prometheus, a file with the token to show. It is read for each query."},
	} {
		fs.StringVar(f.value, f.name, *f.value, f.usage)
	}
	fs.BoolVar(&c.Insecure, "prometheus-insecure", c.Insecure, "With --storage=prometheus, take any certificate of it.")
}

func (o *PrometheusOptions) validate() error {
	timeout, err := time.ParseDuration(o.Timeout)
	if err != nil || timeout <= 0 {
		return runtimeflags.Invalid(flagPrometheusTimeout, "%q is no duration above 0", o.Timeout)
	}
	if err := o.resolved().Validate(); err != nil {
		return runtimeflags.Invalid(flagStorage, "prometheus: %v", err)
	}
	return nil
}

// resolved is what history is read by, with what the environment says of who asks.
func (o *PrometheusOptions) resolved() history.Config {
	c := o.Config
	c.Timeout, _ = time.ParseDuration(o.Timeout)
	if c.BearerToken == "" && c.BearerTokenFile == "" && (c.Username == "" || c.Password == "") {
		c.Username, c.Password = os.Getenv("PROMETHEUS_USERNAME"), os.Getenv("PROMETHEUS_PASSWORD")
	}
	return c
}
