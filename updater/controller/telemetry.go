package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// metrics have the names of upstream's where they count the same, with labels of
// their own.
type metrics struct {
	evicted *prometheus.CounterVec
	refused *prometheus.CounterVec
	// wanted and reasons tell the last pass.
	wanted  prometheus.Gauge
	reasons *prometheus.GaugeVec
	pass    prometheus.Histogram
}

const (
	namespaceLabel = "vpa"
	subsystem      = "updater"
)

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespaceLabel, Subsystem: subsystem, Name: name, Help: help}
	}
	m := &metrics{
		evicted: prometheus.NewCounterVec(prometheus.CounterOpts(opts("evicted_pods_total", "Pods evicted, by the reason of the update.")), []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts(opts("failed_eviction_attempts_total", "Evictions that the API server refused, by the reason of the update.")), []string{"reason"}),
		wanted:  prometheus.NewGauge(prometheus.GaugeOpts(opts("wanted_evictions", "Evictions that the last pass wanted."))),
		reasons: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("objects", "VerticalPodAutoscalers by the reason of their last decision.")), []string{"reason"}),
		pass: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespaceLabel, Subsystem: subsystem, Name: "execution_latency_seconds", Help: "Time of one pass over all objects.",
			Buckets: prometheus.ExponentialBuckets(0.001, 3, 12),
		}),
	}
	for _, c := range []prometheus.Collector{m.evicted, m.refused, m.wanted, m.reasons, m.pass} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// tried counts the candidates that were tried.
func (m *metrics) tried(d eviction.Decision, results []eviction.Result) {
	reasons := map[string]string{}
	for _, c := range d.Candidates {
		reasons[c.Pod] = c.Reason
	}
	for _, r := range results {
		counter := m.evicted
		if r.Error != "" {
			counter = m.refused
		}
		counter.WithLabelValues(reasons[r.Pod]).Inc()
	}
}

// passed shows what came of one pass.
func (m *metrics) passed(decisions map[decision.Unit]eviction.Decision, took time.Duration) {
	m.pass.Observe(took.Seconds())
	m.reasons.Reset()
	wanted := 0
	for _, d := range decisions {
		wanted += d.To
		m.reasons.WithLabelValues(d.Reason).Inc()
	}
	m.wanted.Set(float64(wanted))
}
