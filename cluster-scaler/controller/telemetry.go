package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// metrics are named after Cluster Autoscaler's, under the suite's prefix.
type metrics struct {
	nodes         *prometheus.GaugeVec
	unschedulable *prometheus.GaugeVec
	held          *prometheus.GaugeVec
	up, down      *prometheus.CounterVec
	evictions     prometheus.Counter
	refusals      prometheus.Counter
	plans         *prometheus.CounterVec
	duration      prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	const namespace, subsystem = "quartet", "cluster_scaler"
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	evictions := counter("evicted_pods_total", "Evictions that were asked for, by result: evicted, or refused where a budget forbade it.", "result")
	m := &metrics{
		nodes:         gauge("nodes_count", "Nodes of a pool by state: registered, ready, starting, draining, target.", "pool", "state"),
		unschedulable: gauge("unschedulable_pods_count", "Pods that wait, by what the plan says of them.", "reason"),
		held:          gauge("unremovable_nodes_count", "Nodes of a pool that are not removable, by reason.", "pool", "reason"),
		up:            counter("scaled_up_nodes_total", "Nodes that a provider was asked for.", "pool"),
		down:          counter("scaled_down_nodes_total", "Nodes that were removed.", "pool"),
		evictions:     evictions.WithLabelValues("evicted"), refusals: evictions.WithLabelValues("refused"),
		plans: counter("plans_total", "Plans by reason and result.", "reason", "result"),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "function_duration_seconds",
			Help: "Time of one turn: observe, plan and act.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
	}
	for _, c := range []prometheus.Collector{m.nodes, m.unschedulable, m.held, m.up, m.down, evictions, m.plans, m.duration} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// decided shows what a plan counted.
func (m *metrics) decided(d plan.Decision, o decision.Outcome) {
	m.plans.WithLabelValues(d.Reason, string(o.Result)).Inc()
	m.nodes.Reset()
	m.held.Reset()
	m.unschedulable.Reset()
	for name, r := range d.Pools {
		for state, n := range map[string]int{
			"registered": r.Nodes, "ready": r.Ready, "starting": r.Starting, "draining": r.Draining, "target": r.Target,
		} {
			m.nodes.WithLabelValues(name, state).Set(float64(n))
		}
		for reason, n := range r.Held {
			m.held.WithLabelValues(name, reason).Set(float64(n))
		}
	}
	for _, v := range d.Pods {
		m.unschedulable.WithLabelValues(v.Reason).Inc()
	}
}

func (m *metrics) took(d time.Duration) { m.duration.Observe(d.Seconds()) }
