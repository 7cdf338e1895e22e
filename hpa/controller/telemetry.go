package controller

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// metrics are those of the upstream controller, under its names.
type metrics struct {
	reconciliations        *prometheus.CounterVec
	reconciliationDuration *prometheus.HistogramVec
	computations           *prometheus.CounterVec
	computationDuration    *prometheus.HistogramVec
	objects                prometheus.Gauge
	desired                *prometheus.GaugeVec
	asked                  *queryMetrics

	mu    sync.Mutex
	known map[decision.Unit]bool
}

const subsystem = "horizontal_pod_autoscaler_controller"

// Values of the label action.
const (
	actionUp   = "scale_up"
	actionDown = "scale_down"
	actionNone = "none"
)

// errorNone is the label error of what did not fail.
const errorNone = "none"

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, labels)
	}
	m := &metrics{
		reconciliations: counter("reconciliations_total",
			"Turns by action (scale_up, scale_down, none) and error (spec, internal, none).", "action", "error"),
		reconciliationDuration: histogram("reconciliation_duration_seconds",
			"Time of one turn, by action and error.", "action", "error"),
		computations: counter("metric_computation_total",
			"Metrics evaluated, by the action they asked for, error, and type as in spec.metrics.", "action", "error", "metric_type"),
		computationDuration: histogram("metric_computation_duration_seconds",
			"Time to query one metric, by the action it asked for, error, and type.", "action", "error", "metric_type"),
		objects: prometheus.NewGauge(prometheus.GaugeOpts{
			Subsystem: subsystem, Name: "num_horizontal_pod_autoscalers", Help: "Objects under control.",
		}),
		desired: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Subsystem: subsystem, Name: "desired_replicas", Help: "Desired count of an object.",
		}, []string{"namespace", "hpa_name"}),
		asked: newQueryMetrics(),
		known: map[decision.Unit]bool{},
	}
	for _, c := range []prometheus.Collector{
		m.reconciliations, m.reconciliationDuration, m.computations, m.computationDuration, m.objects, m.desired,
		m.asked.queries, m.asked.silent,
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// seen counts an object as under control.
func (m *metrics) seen(unit decision.Unit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known[unit] {
		m.known[unit] = true
		m.objects.Set(float64(len(m.known)))
	}
}

// forget drops an object with its series.
func (m *metrics) forget(unit decision.Unit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, unit)
	m.objects.Set(float64(len(m.known)))
	m.desired.DeleteLabelValues(unit.Namespace, labelOf(unit))
}

// turned counts one turn.
func (m *metrics) turned(d replicas.Decision, o decision.Outcome, took time.Duration) {
	action, failed := actionNone, orNone(d.Failure)
	switch {
	case o.Result == decision.Failed:
		failed = replicas.FailureInternal
	case o.Result == decision.Succeeded:
		action = direction(d.From, d.To)
	}
	m.reconciliations.WithLabelValues(action, failed).Inc()
	m.reconciliationDuration.WithLabelValues(action, failed).Observe(took.Seconds())
}

// decided counts the metrics of one decision and shows what it wants.
func (m *metrics) decided(d replicas.Decision, o decision.Outcome, v *visit) {
	for i, p := range d.Proposals {
		action := actionNone
		if p.Failure == "" && v.hpa != nil {
			action = direction(v.hpa.Status.CurrentReplicas, p.Replicas)
		}
		m.computations.WithLabelValues(action, orNone(p.Failure), p.Type).Inc()
		if i < len(v.queries) {
			m.computationDuration.WithLabelValues(action, orNone(p.Failure), p.Type).Observe(v.queries[i].Seconds())
		}
	}
	switch d.Reason {
	case replicas.ReasonScaleUp, replicas.ReasonScaleDown, replicas.ReasonHold, replicas.ReasonDisabled:
		if o.Result != decision.Failed {
			m.desired.WithLabelValues(d.Unit.Namespace, labelOf(d.Unit)).Set(float64(d.To))
		}
	}
}

// labelOf is an object's label hpa_name. A HorizontalScaler may have the name of a
// HorizontalPodAutoscaler, so that its kind goes before it.
func labelOf(unit decision.Unit) string {
	if unit.Kind == replicas.KindScaler {
		return strings.ToLower(unit.Kind) + "." + unit.Name
	}
	return unit.Name
}

func direction(from, to int32) string {
	switch {
	case to > from:
		return actionUp
	case to < from:
		return actionDown
	}
	return actionNone
}

func orNone(failure string) string {
	if failure == "" {
		return errorNone
	}
	return failure
}
