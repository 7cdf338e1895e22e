package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have upstream's names.
type metrics struct {
	pods    *prometheus.CounterVec
	latency *prometheus.HistogramVec
}

const metricsNamespace = "vpa_admission_controller"

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		pods: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricsNamespace, Name: "admission_pods_total", Help: "New pods that an object scales, by whether they were patched.",
		}, []string{"applied"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: metricsNamespace, Name: "admission_latency_seconds", Help: "Time of one review, by what it came to and what was reviewed.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10),
		}, []string{"status", "resource"}),
	}
	for _, c := range []prometheus.Collector{m.pods, m.latency} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) admitted(applied bool) { m.pods.WithLabelValues(strconv.FormatBool(applied)).Inc() }

func (m *metrics) answered(resource, status string, took time.Duration) {
	m.latency.WithLabelValues(status, resource).Observe(took.Seconds())
}
