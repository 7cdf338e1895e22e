package controller

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// metrics are of passes, under the upstream recommender's name, and of turns.
type metrics struct {
	passes    *prometheus.HistogramVec
	decisions *prometheus.CounterVec
	objects   prometheus.Gauge
	waiting   *prometheus.GaugeVec
	upstream  *objectMetrics
	// histories are what containers are counted by, once they are there.
	histories atomic.Pointer[histories]

	mu    sync.Mutex
	known map[decision.Unit]bool
}

const subsystem = "vpa_recommender"

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: "execution_latency_seconds", Help: "Time of one pass over all VPAs (step total).",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 15),
		}, []string{"step"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Subsystem: subsystem, Name: "decisions_total", Help: "Decisions by reason and by what became of them.",
		}, []string{"reason", "result"}),
		objects: prometheus.NewGauge(prometheus.GaugeOpts{
			Subsystem: subsystem, Name: "objects", Help: "VPAs that this recommender serves.",
		}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Subsystem: subsystem, Name: "waiting_writes", Help: "Writes that waited for their turn at the end of a pass, by what they write.",
		}, []string{"of"}),
		known: map[decision.Unit]bool{},
	}
	aggregates := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Subsystem: subsystem, Name: "aggregate_container_states_count", Help: "Containers that something is known of.",
	}, func() float64 {
		if h := m.histories.Load(); h != nil {
			return h.containers()
		}
		return 0
	})
	for _, c := range []prometheus.Collector{m.passes, m.decisions, m.objects, m.waiting, aggregates} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	var err error
	m.upstream, err = newObjectMetrics(registry)
	return m, err
}

func (m *metrics) passed(took time.Duration) {
	m.passes.WithLabelValues("total").Observe(took.Seconds())
}

// waits tells how many writes wait after a pass.
func (m *metrics) waits(of string, n int) { m.waiting.WithLabelValues(of).Set(float64(n)) }

// decided counts a decision, and its object as served.
func (m *metrics) decided(d estimator.Decision, o decision.Outcome) {
	m.decisions.WithLabelValues(d.Reason, string(o.Result)).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known[d.Unit] {
		m.known[d.Unit] = true
		m.objects.Set(float64(len(m.known)))
	}
}

func (m *metrics) forget(unit decision.Unit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, unit)
	m.upstream.count(unit, nil)
	m.objects.Set(float64(len(m.known)))
}
