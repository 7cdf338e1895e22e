package shards

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tell how states are kept.
type Metrics struct {
	kept, shards prometheus.Gauge
	writes       *prometheus.CounterVec
	duration     prometheus.Histogram
	unguarded    prometheus.Counter
}

// Values of the label result.
const (
	resultWritten = "written"
	resultRefused = "refused"
	resultFailed  = "failed"
)

// NewMetrics registers the metrics of a component's store.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	const namespace, subsystem = "quartet", "state"
	m := &Metrics{
		kept: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "kept",
			Help: "1 while states are kept in StateShards, 0 while they cannot be."}),
		shards: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "shards",
			Help: "StateShards that the states are divided into."}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "shard_writes_total",
			Help: "Writes of a StateShard by result: written, refused where the object had changed, failed."}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: "shard_write_duration_seconds",
			Help: "Time of one write of a StateShard.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12)}),
		unguarded: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "unguarded_actions_total",
			Help: "Actions whose state could not be kept before."}),
	}
	for _, c := range []prometheus.Collector{m.kept, m.shards, m.writes, m.duration, m.unguarded} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of kept states: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) settled(shards int, err error) {
	m.shards.Set(float64(shards))
	m.kept.Set(1)
	if err != nil {
		m.kept.Set(0)
	}
}

func (m *Metrics) wrote(since time.Time, err error) {
	result := resultWritten
	switch {
	case refused(err):
		result = resultRefused
	case err != nil:
		result = resultFailed
	}
	m.writes.WithLabelValues(result).Inc()
	m.duration.Observe(time.Since(since).Seconds())
}
