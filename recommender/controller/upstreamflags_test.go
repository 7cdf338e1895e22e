package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// upstreamFlags are those of upstream's recommender 1.8 with their defaults, read
// from its main.go, recommender/config, common/flags.go, klog and the leader
// election's options.
var upstreamFlags = map[string]string{
	"recommender-name": "default", "recommender-interval": "1m0s", "checkpoints-gc-interval": "10m0s", "checkpoints-timeout": "1m0s",
	"address": ":8942", "storage": "", "memory-saver": "false", "update-worker-count": "10", "min-checkpoints": "10",
	"recommendation-margin-fraction": "0.15", "pod-recommendation-min-cpu-millicores": "25", "pod-recommendation-min-memory-mb": "250",
	"target-cpu-percentile": "0.9", "recommendation-lower-bound-cpu-percentile": "0.5", "recommendation-upper-bound-cpu-percentile": "0.95",
	"confidence-interval-cpu": "24h0m0s", "target-memory-percentile": "0.9", "recommendation-lower-bound-memory-percentile": "0.5",
	"recommendation-upper-bound-memory-percentile": "0.95", "confidence-interval-memory": "24h0m0s", "humanize-memory": "false",
	"round-cpu-millicores": "1", "round-memory-bytes": "1",
	"prometheus-address": "http://prometheus.monitoring.svc", "prometheus-insecure": "false", "prometheus-cadvisor-job-name": "kubernetes-cadvisor",
	"history-length": "8d", "history-resolution": "1h", "history-cpu-metric": "container_cpu_usage_seconds_total",
	"history-memory-metric": "container_memory_working_set_bytes", "prometheus-query-timeout": "5m", "pod-label-prefix": "pod_label_",
	"metric-for-pod-labels": `up{job="kubernetes-pods"}`, "pod-namespace-label": "kubernetes_namespace", "pod-name-label": "kubernetes_pod_name",
	"container-namespace-label": "namespace", "container-pod-name-label": "pod_name", "container-name-label": "name",
	"username": "", "password": "", "prometheus-bearer-token": "", "prometheus-bearer-token-file": "",
	"use-external-metrics": "false", "external-metrics-cpu-metric": "", "external-metrics-memory-metric": "",
	"memory-aggregation-interval": "24h0m0s", "memory-aggregation-interval-count": "8", "memory-histogram-decay-half-life": "24h0m0s",
	"cpu-histogram-decay-half-life": "24h0m0s", "oom-bump-up-ratio": "1.2", "oom-min-bump-up-bytes": "1.048576e+08",
	"cpu-integer-post-processor-enabled": "false", "container-recommendation-max-allowed-cpu": "0", "container-recommendation-max-allowed-memory": "0",
	"feature-gates": "",
	"kubeconfig":    "", "kube-api-qps": "50", "kube-api-burst": "100", "profiling": "false", "vpa-object-namespace": "",
	"ignored-vpa-object-namespaces": "",
	"leader-elect":                  "false", "leader-elect-lease-duration": "15s", "leader-elect-renew-deadline": "10s", "leader-elect-retry-period": "2s",
	"leader-elect-resource-lock": "leases", "leader-elect-resource-name": "vpa-recommender-lease", "leader-elect-resource-namespace": "kube-system",
	"add_dir_header": "false", "alsologtostderr": "false", "alsologtostderrthreshold": "0", "legacy_stderr_threshold_behavior": "true",
	"log_backtrace_at": ":0", "log_dir": "", "log_file": "", "log_file_max_size": "1800", "logtostderr": "true", "one_output": "false",
	"skip_headers": "false", "skip_log_headers": "false", "stderrthreshold": "0", "v": "4", "vmodule": "",
}

// otherDefaults are the flags whose default differs, and why.
var otherDefaults = map[string]string{
	"leader-elect":                    "two recommenders never write, whatever is forgotten",
	"leader-elect-resource-namespace": "the lease is in the namespace of the release",
	"kube-api-qps":                    "what is written often has limits of its own",
	"kube-api-burst":                  "what is written often has limits of its own",
}

func TestUpstreamsFlagsAreTaken(t *testing.T) {
	fs := NewCommand().FlagSet()
	for name, want := range upstreamFlags {
		flag := fs.Lookup(name)
		if flag == nil {
			t.Errorf("--%s is not known", name)
			continue
		}
		if got := strings.Trim(flag.DefValue, "[]"); got != want && otherDefaults[name] == "" {
			t.Errorf("--%s is %q by default, want %q", name, got, want)
		}
	}
	for name := range otherDefaults {
		if _, known := upstreamFlags[name]; !known {
			t.Errorf("--%s is no flag of upstream's", name)
		}
	}
}

func TestNoCheckpointsBesidePrometheus(t *testing.T) {
	o := NewOptions()
	if period := o.rules().CheckpointPeriod; period != 10*time.Minute {
		t.Errorf("checkpoints are due every %s by default", period)
	}
	o.Storage = storagePrometheus
	if period := o.rules().CheckpointPeriod; period != 0 {
		t.Errorf("checkpoints are due every %s beside Prometheus", period)
	}
}

func TestFlagsOfHistoryAreChecked(t *testing.T) {
	tests := map[string]struct {
		args  []string
		wrong string
	}{
		"by default":                 {},
		"checkpoints":                {args: []string{"--storage=checkpoint"}},
		"Prometheus":                 {args: []string{"--storage=prometheus", "--prometheus-query-timeout=1m"}},
		"another storage":            {args: []string{"--storage=disk"}, wrong: "storage"},
		"no duration":                {args: []string{"--storage=prometheus", "--history-length=long"}, wrong: "storage"},
		"no timeout":                 {args: []string{"--storage=prometheus", "--prometheus-query-timeout=5"}, wrong: "prometheus-query-timeout"},
		"unused flags are unchecked": {args: []string{"--history-length=long"}},
		"one namespace and another":  {args: []string{"--vpa-object-namespace=a", "--ignored-vpa-object-namespaces=b"}, wrong: "ignored-vpa-object-namespaces"},
		"another source of usage":    {args: []string{"--use-external-metrics"}, wrong: "use-external-metrics"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := NewOptions()
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.AddFlags(fs)
			if err := fs.Parse(tc.args); err != nil {
				t.Fatal(err)
			}
			err := o.Validate()
			wrong := ""
			if flag := (*runtimeflags.FlagError)(nil); err != nil {
				if flag, _ = err.(*runtimeflags.FlagError); flag == nil {
					t.Fatal(err)
				}
				wrong = flag.Flag
			}
			if wrong != tc.wrong {
				t.Errorf("refused --%s (%v), want --%s", wrong, err, tc.wrong)
			}
		})
	}
}
