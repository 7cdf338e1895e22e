package controller

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// metrics are upstream's, with its names and labels, and two of our own: what the
// last pass wanted, and why.
type metrics struct {
	evicted, refused      *prometheus.CounterVec
	resized, unresized    *prometheus.CounterVec
	skipped, leaseInvalid *prometheus.CounterVec
	controlled, evictable *prometheus.GaugeVec
	withEvictable         *prometheus.GaugeVec
	withEvicted           *prometheus.GaugeVec
	resizable             *prometheus.GaugeVec
	withResizable         *prometheus.GaugeVec
	withResized           *prometheus.GaugeVec
	pass                  *prometheus.HistogramVec
	wanted                prometheus.Gauge
	reasons               *prometheus.GaugeVec

	mu sync.Mutex
	// acted are the objects of which a pod was evicted or resized in this pass.
	acted map[decision.Unit]acts
}

// acts are what was done to pods of one object in a pass.
type acts struct{ evicted, resized bool }

const (
	namespaceLabel = "vpa"
	subsystem      = "updater"
)

// The labels of upstream's metrics.
const (
	sizeLabel   = "vpa_size_log2"
	modeLabel   = "update_mode"
	reasonLabel = "reason"
	nameLabel   = "vpa_name"
	placeLabel  = "vpa_namespace"
)

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespaceLabel, Subsystem: subsystem, Name: name, Help: help}
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(opts(name, help)), labels)
	}
	m := &metrics{
		acted:         map[decision.Unit]acts{},
		evicted:       counter("evicted_pods_total", "Pods evicted.", sizeLabel, modeLabel, nameLabel, placeLabel),
		refused:       counter("failed_eviction_attempts_total", "Evictions that the API server refused.", sizeLabel, modeLabel, reasonLabel, nameLabel, placeLabel),
		resized:       counter("in_place_updated_pods_total", "Pods resized in place.", sizeLabel, nameLabel, placeLabel),
		unresized:     counter("failed_in_place_update_attempts_total", "Resizes that the API server refused.", sizeLabel, reasonLabel, nameLabel, placeLabel),
		skipped:       counter("in_place_infeasible_skip_pods_total", "Pods that were not resized, since their node could not have room for no more than that before.", sizeLabel, nameLabel, placeLabel),
		leaseInvalid:  counter("admission_controller_status_invalid_total", "Passes in which the admission webhook's lease was stale (invalid) or not readable (error).", reasonLabel),
		controlled:    gauge("controlled_pods_total", "Live pods of VerticalPodAutoscalers that may update them.", sizeLabel, modeLabel),
		evictable:     gauge("evictable_pods_total", "Pods that may be evicted, by need and by what their controllers can spare.", sizeLabel, modeLabel),
		withEvictable: gauge("vpas_with_evictable_pods_total", "VerticalPodAutoscalers with such a pod.", sizeLabel, modeLabel),
		withEvicted:   gauge("vpas_with_evicted_pods_total", "VerticalPodAutoscalers of which a pod was evicted in the last pass.", sizeLabel, modeLabel),
		resizable:     gauge("in_place_updatable_pods_total", "Pods that may be updated in the modes that resize in place.", sizeLabel),
		withResizable: gauge("vpas_with_in_place_updatable_pods_total", "VerticalPodAutoscalers with such a pod.", sizeLabel),
		withResized:   gauge("vpas_with_in_place_updated_pods_total", "VerticalPodAutoscalers of which a pod was resized in the last pass.", sizeLabel),
		wanted:        prometheus.NewGauge(prometheus.GaugeOpts(opts("wanted_updates", "Resizes and evictions that the last pass wanted."))),
		reasons:       gauge("objects", "VerticalPodAutoscalers by the reason of their last decision.", reasonLabel),
		pass: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespaceLabel, Subsystem: subsystem, Name: "execution_latency_seconds", Help: "Time of one pass over all objects.",
			Buckets: []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 120, 150, 240, 300},
		}, []string{"step"}),
	}
	for _, c := range m.collectors() {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.evicted, m.refused, m.resized, m.unresized, m.skipped, m.leaseInvalid, m.controlled, m.evictable, m.withEvictable,
		m.withEvicted, m.resizable, m.withResizable, m.withResized, m.wanted, m.reasons, m.pass,
	}
}

// size is the label for a number of pods: its binary logarithm, at most 20.
func size(pods int) string {
	if pods < 1 {
		return "0"
	}
	return strconv.Itoa(min(int(math.Log2(float64(pods))), 20))
}

// tried counts what became of one decision's candidates.
func (m *metrics) tried(d eviction.Decision, results []eviction.Result) {
	size, mode := size(d.Pods), string(d.UpdateMode)
	if n := len(d.Skipped); n > 0 {
		m.skipped.WithLabelValues(size, d.Unit.Name, d.Unit.Namespace).Add(float64(n))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range results {
		done := m.acted[d.Unit]
		switch {
		case r.Resize && r.Error != "":
			m.unresized.WithLabelValues(size, whyUnresized(d, r), d.Unit.Name, d.Unit.Namespace).Inc()
		case r.Resize:
			done.resized = true
			m.resized.WithLabelValues(size, d.Unit.Name, d.Unit.Namespace).Inc()
		case r.Error != "":
			m.refused.WithLabelValues(size, mode, "EvictionError", d.Unit.Name, d.Unit.Namespace).Inc()
		default:
			done.evicted = true
			m.evicted.WithLabelValues(size, mode, d.Unit.Name, d.Unit.Namespace).Inc()
		}
		m.acted[d.Unit] = done
	}
}

// whyUnresized is upstream's word for a refused resize.
func whyUnresized(d eviction.Decision, r eviction.Result) string {
	if slices.ContainsFunc(d.Unboosts, func(u eviction.Unboost) bool { return u.Name == r.Pod }) {
		return "UnboostError"
	}
	if d.UpdateMode == vpav1.UpdateModeInPlace && r.NeverFits {
		return "InPlaceUpdateInfeasible"
	}
	return "InPlaceUpdateError"
}

// passed shows what came of one pass.
func (m *metrics) passed(decisions map[decision.Unit]eviction.Decision, took time.Duration) {
	m.pass.WithLabelValues("total").Observe(took.Seconds())
	for _, g := range []*prometheus.GaugeVec{m.reasons, m.controlled, m.evictable, m.withEvictable, m.withEvicted, m.resizable, m.withResizable, m.withResized} {
		g.Reset()
	}
	m.mu.Lock()
	acted := m.acted
	m.acted = map[decision.Unit]acts{}
	m.mu.Unlock()
	wanted, away := 0, ""
	for unit, d := range decisions {
		wanted += d.To
		m.reasons.WithLabelValues(d.Reason).Inc()
		if d.Reason == eviction.ReasonAdmissionAway {
			away = "invalid"
			if len(d.Faults) > 0 {
				away = "error"
			}
		}
		m.object(d, acted[unit])
	}
	if away != "" {
		m.leaseInvalid.WithLabelValues(away).Inc()
	}
	m.wanted.Set(float64(wanted))
}

// object adds one decision to the gauges of the pass.
func (m *metrics) object(d eviction.Decision, done acts) {
	if d.Pods == 0 {
		return
	}
	size, mode := size(d.Pods), string(d.UpdateMode)
	m.controlled.WithLabelValues(size, mode).Add(float64(d.Pods))
	if n := len(d.Candidates); n > 0 && eviction.Resizes(d.UpdateMode) {
		m.resizable.WithLabelValues(size).Add(float64(n))
		m.withResizable.WithLabelValues(size).Inc()
	} else if n > 0 {
		m.evictable.WithLabelValues(size, mode).Add(float64(n))
		m.withEvictable.WithLabelValues(size, mode).Inc()
	}
	if done.resized {
		m.withResized.WithLabelValues(size).Inc()
	}
	if done.evicted {
		m.withEvicted.WithLabelValues(size, mode).Inc()
	}
}
