package controller

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// objectMetrics are upstream's metrics of objects and of what is asked, under its
// names and labels.
type objectMetrics struct {
	objects   *prometheus.GaugeVec
	latency   prometheus.Histogram
	usage     *prometheus.CounterVec
	asked     *prometheus.CounterVec
	askedTime *prometheus.HistogramVec
	quality   *quality

	mu sync.Mutex
	// kinds are what each object counts as.
	kinds map[decision.Unit]objectKind
}

// objectKind is what objects are counted by.
type objectKind struct {
	mode                              string
	recommended, matches, unsupported bool
}

func (k objectKind) labels() []string {
	return []string{k.mode, strconv.FormatBool(k.recommended), "v1", strconv.FormatBool(k.matches), strconv.FormatBool(k.unsupported)}
}

func newObjectMetrics(registry prometheus.Registerer) (*objectMetrics, error) {
	m := &objectMetrics{
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Subsystem: subsystem, Name: "vpa_objects_count", Help: "VPAs that this recommender serves, by what they are.",
		}, []string{modeLabel, "has_recommendation", "api", "matches_pods", "unsupported_config"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: "recommendation_latency_seconds", Help: "Time from an object's making to its first recommendation.",
			Buckets: []float64{1, 2, 5, 7.5, 10, 20, 30, 40, 50, 60, 90, 120, 150, 180, 240, 300, 600, 900, 1800},
		}),
		usage: prometheus.NewCounterVec(prometheus.CounterOpts{
			Subsystem: subsystem, Name: "metric_server_responses", Help: "Answers to questions for usage.",
		}, []string{"is_error", "client_name"}),
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Subsystem: subsystem, Name: "prometheus_client_api_requests_count", Help: "Requests to Prometheus.",
		}, []string{"code", "method"}),
		askedTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: "prometheus_client_api_requests_duration_seconds", Help: "Time of requests to Prometheus.",
			Buckets: []float64{.01, .02, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1, 2, 5, 10, 20, 30, 60, 120, 300},
		}, []string{"code", "method"}),
		kinds: map[decision.Unit]objectKind{},
	}
	for _, c := range []prometheus.Collector{m.objects, m.latency, m.usage, m.asked, m.askedTime} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	var err error
	m.quality, err = newQuality(registry)
	return m, err
}

// observe counts an object as what a decision says of it, and measures what was
// learned.
func (m *objectMetrics) observe(vpa *vpav1.VerticalPodAutoscaler, d estimator.Decision, o decision.Outcome) {
	kind := objectKind{mode: string(vpav1.UpdateModeRecreate), recommended: len(d.To) > 0, matches: true}
	if p := vpa.Spec.UpdatePolicy; p != nil && p.UpdateMode != nil && *p.UpdateMode != "" {
		kind.mode = string(*p.UpdateMode)
	}
	for _, c := range d.Conditions {
		kind.matches = kind.matches && c.Type != estimator.NoPodsMatched
		kind.unsupported = kind.unsupported || c.Type == estimator.ConfigUnsupported
	}
	m.count(d.Unit, &kind)
	if len(d.From) == 0 && len(d.To) > 0 && o.Result == decision.Succeeded {
		m.latency.Observe(d.At.Sub(vpa.CreationTimestamp.Time).Seconds())
	}
	m.quality.observe(vpa, d, len(d.Observed.Samples))
}

// count moves an object to a kind, or out where it is nil.
func (m *objectMetrics) count(unit decision.Unit, kind *objectKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, known := m.kinds[unit]
	if known && kind != nil && was == *kind {
		return
	}
	if known {
		m.objects.WithLabelValues(was.labels()...).Dec()
		delete(m.kinds, unit)
	}
	if kind != nil {
		m.objects.WithLabelValues(kind.labels()...).Inc()
		m.kinds[unit] = *kind
	}
}

// counted counts the answers to questions for usage.
func (m *objectMetrics) counted(ask func(context.Context, string) (usages, error)) func(context.Context, string) (usages, error) {
	return func(ctx context.Context, namespace string) (usages, error) {
		found, err := ask(ctx, namespace)
		m.usage.WithLabelValues(strconv.FormatBool(err != nil), "default-metrics-client").Inc()
		return found, err
	}
}

// transport counts and times requests to Prometheus.
func (m *objectMetrics) transport(next http.RoundTripper) http.RoundTripper {
	return promhttp.InstrumentRoundTripperCounter(m.asked, promhttp.InstrumentRoundTripperDuration(m.askedTime, next))
}

// containers counts the containers that something is known of.
func (h *histories) containers() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.served {
		n += len(s.state.Learned)
	}
	return float64(n)
}
