package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have upstream's names and labels. Their buckets are upstream's and finer
// ones below: a review takes less than the first of these.
type metrics struct {
	pods      map[bool]prometheus.Counter
	latency   map[review]prometheus.Observer
	execution prometheus.Observer
}

// review is what one was about and what it came to.
type review struct{ resource, status string }

const metricsNamespace = "vpa_admission_controller"

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	pods := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Name: "admission_pods_total", Help: "New pods that were reviewed, by whether they were patched.",
	}, []string{"applied"})
	fine := []float64{0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005}
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: metricsNamespace, Name: "admission_latency_seconds", Help: "Time of one review, by what it came to and what was reviewed.",
		Buckets: append(fine, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 5, 10, 20, 30, 60, 120, 300),
	}, []string{"status", "resource"})
	execution := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: metricsNamespace, Name: "execution_latency_seconds", Help: "Time of one review from its first byte to its answer's last.",
		Buckets: append(fine, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300),
	}, []string{"step"})
	for _, c := range []prometheus.Collector{pods, latency, execution} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	m := &metrics{pods: map[bool]prometheus.Counter{}, latency: map[review]prometheus.Observer{}, execution: execution.WithLabelValues("total")}
	for _, applied := range []bool{false, true} {
		m.pods[applied] = pods.WithLabelValues(strconv.FormatBool(applied))
	}
	for _, resource := range []string{resourcePod, resourceVPA} {
		for _, status := range []string{statusApplied, statusSkipped, statusError} {
			m.latency[review{resource, status}] = latency.WithLabelValues(status, resource)
		}
	}
	return m, nil
}

func (m *metrics) admitted(applied bool) { m.pods[applied].Inc() }

func (m *metrics) answered(r review, took time.Duration) {
	m.latency[r].Observe(took.Seconds())
	m.execution.Observe(took.Seconds())
}
