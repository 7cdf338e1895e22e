package controller

import "github.com/prometheus/client_golang/prometheus"

// queryMetrics count what the metrics APIs are asked.
type queryMetrics struct {
	queries *prometheus.CounterVec
	silent  *prometheus.GaugeVec
}

// Values of the label result.
const (
	resultAnswered = "answered"
	resultFailed   = "failed"
	resultSilent   = "unanswered"
	resultSpared   = "spared"
)

func newQueryMetrics() *queryMetrics {
	return &queryMetrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_hpa_metric_queries_total",
			Help: "Queries by metrics API (resource, custom, external) and result (answered, failed, unanswered within the deadline, spared since those before got no answer).",
		}, []string{"api", "result"}),
		silent: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quartet_hpa_metric_silent",
			Help: "Metrics that are asked only once a sync period, since queries of them got no answer, by metrics API. A metric counts in each namespace.",
		}, []string{"api"}),
	}
}

func (m *queryMetrics) count(at backend, result string) {
	m.queries.WithLabelValues(at.api, result).Inc()
}

func result(err error) string {
	if err != nil {
		return resultFailed
	}
	return resultAnswered
}
