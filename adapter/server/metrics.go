package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// ownMetrics are what the adapter tells of itself. Labels are kinds of sources,
// reasons and statuses: sets that do not grow with the number of objects.
type ownMetrics struct {
	polls *prometheus.CounterVec
	took  *prometheus.HistogramVec
	reads *prometheus.CounterVec
}

func newOwnMetrics() *ownMetrics {
	return &ownMetrics{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_polls_total",
			Help: "Polls of sources, by kind of source and result: success or the failure's reason.",
		}, []string{"kind", "result"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "quartet_adapter_poll_duration_seconds",
			Help:    "Time that polls took, by kind of source, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"kind"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_reads_total",
			Help: "Reads of external metrics, by result: success, notFound or the reason for which the sample was not served.",
		}, []string{"result"}),
	}
}

// Polled counts one poll.
func (m *ownMetrics) Polled(kind, result string, took time.Duration) {
	m.polls.WithLabelValues(kind, result).Inc()
	m.took.WithLabelValues(kind).Observe(took.Seconds())
}

// Read counts one serving read.
func (m *ownMetrics) Read(result string) { m.reads.WithLabelValues(result).Inc() }

// Summarizer tells how the objects are, when metrics are gathered.
type Summarizer interface {
	Summary() map[decision.Status]int
	Queries() int
}

// stateMetrics are gathered from what is there when they are asked for.
type stateMetrics struct {
	table      *table.Table
	summarizer Summarizer
	clock      clock.PassiveClock
}

var (
	sourcesDesc = prometheus.NewDesc("quartet_adapter_sources",
		"MetricSources by the status of their Ready condition.", []string{"ready"}, nil)
	queriesDesc = prometheus.NewDesc("quartet_adapter_queries",
		"Distinct queries being polled.", nil, nil)
	oldestDesc = prometheus.NewDesc("quartet_adapter_sample_age_seconds_max",
		"Age of the oldest newest sample of any MetricSource, 0 without any.", nil, nil)
	staleDesc = prometheus.NewDesc("quartet_adapter_stale_sources",
		"MetricSources whose newest sample is too old to be served, or that have none.", nil, nil)
)

func (m *stateMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sourcesDesc, queriesDesc, oldestDesc, staleDesc} {
		ch <- d
	}
}

func (m *stateMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for status, n := range m.summarizer.Summary() {
		gauge(sourcesDesc, float64(n), string(status))
	}
	gauge(queriesDesc, float64(m.summarizer.Queries()))
	now := m.clock.Now()
	oldest, stale := 0.0, 0
	for _, f := range m.table.Facts() {
		if !f.SampledAt.IsZero() {
			oldest = max(oldest, now.Sub(f.SampledAt).Seconds())
		}
		if query.Judge(query.Sample{}, f, now) != nil {
			stale++
		}
	}
	gauge(oldestDesc, oldest)
	gauge(staleDesc, float64(stale))
}
