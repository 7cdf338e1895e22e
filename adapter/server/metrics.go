package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// ownMetrics are what the adapter tells of itself. Labels are kinds of sources,
// reasons and statuses: sets that do not grow with the number of objects.
type ownMetrics struct {
	polls, heldBack, pushes, watchesEnded *prometheus.CounterVec
	took, waited, age                     *prometheus.HistogramVec
	reads                                 *prometheus.CounterVec
	// served is reads' counter of those that gave a value, found once and not at each.
	served prometheus.Counter
}

// all are the metrics to be registered.
func (m *ownMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.polls, m.heldBack, m.pushes, m.watchesEnded, m.took, m.waited, m.age, m.reads}
}

func newOwnMetrics() *ownMetrics {
	m := &ownMetrics{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_polls_total",
			Help: "Polls of sources, by kind of source and result: success or the failure's reason.",
		}, []string{"kind", "result"}),
		heldBack: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_polls_held_back_total",
			Help: "Polls that were not made since their server does not answer and one poll at a time tries it, by kind of source.",
		}, []string{"kind"}),
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_pushes_total",
			Help: "Words of sources that something changed, by kind of source. Polls follow them, several words being followed by one.",
		}, []string{"kind"}),
		watchesEnded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_push_watches_ended_total",
			Help: "Watches for such words that ended and are begun again, by kind of source and reason.",
		}, []string{"kind", "reason"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "quartet_adapter_poll_duration_seconds",
			Help:    "Time that polls took, by kind of source, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"kind"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "quartet_adapter_poll_wait_seconds",
			Help:    "Time for which polls were held back by the limits of their server, by kind of source.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"kind"}),
		age: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "quartet_adapter_reading_age_seconds",
			Help:    "Age of readings when they were received, by the source's own time where it gives one, by kind of source.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"kind"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_reads_total",
			Help: "Reads of external metrics, by result: success, notFound or the reason for which the sample was not served.",
		}, []string{"result"}),
	}
	m.served = m.reads.WithLabelValues("success")
	return m
}

// Polled counts one poll.
func (m *ownMetrics) Polled(p collector.Polled) {
	m.polls.WithLabelValues(p.Kind, p.Result).Inc()
	m.took.WithLabelValues(p.Kind).Observe(p.Took.Seconds())
	m.waited.WithLabelValues(p.Kind).Observe(p.Waited.Seconds())
	if p.Result == "success" {
		m.age.WithLabelValues(p.Kind).Observe(p.Age.Seconds())
	}
}

// HeldBack counts a poll that was not made.
func (m *ownMetrics) HeldBack(kind string) { m.heldBack.WithLabelValues(kind).Inc() }

// Pushed counts a source's word of a change.
func (m *ownMetrics) Pushed(kind string) { m.pushes.WithLabelValues(kind).Inc() }

// WatchEnded counts a watch for such words that ended.
func (m *ownMetrics) WatchEnded(kind, reason string) {
	m.watchesEnded.WithLabelValues(kind, reason).Inc()
}

// Read counts one serving read.
func (m *ownMetrics) Read(result string) {
	if result == "success" {
		m.served.Inc()
		return
	}
	m.reads.WithLabelValues(result).Inc()
}

// Summarizer tells how the objects are, when metrics are gathered.
type Summarizer interface {
	Summary() map[decision.Status]int
	Queries() int
	// Away counts, by kind of source, the servers that do not answer.
	Away() map[string]int
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
	awayDesc = prometheus.NewDesc("quartet_adapter_servers_away",
		"Servers that did not answer several polls in a row and are tried by one poll at a time, by kind of source.", []string{"kind"}, nil)
	oldestDesc = prometheus.NewDesc("quartet_adapter_sample_age_seconds_max",
		"Age of the oldest newest sample of any MetricSource, 0 without any.", nil, nil)
	staleDesc = prometheus.NewDesc("quartet_adapter_stale_sources",
		"MetricSources whose newest sample is too old to be served, or that have none.", nil, nil)
)

func (m *stateMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sourcesDesc, queriesDesc, awayDesc, oldestDesc, staleDesc} {
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
	for kind, n := range m.summarizer.Away() {
		gauge(awayDesc, float64(n), kind)
	}
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
