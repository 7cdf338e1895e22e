package server

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/utils/clock"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/server/peer"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// placeholder is listed while there is no metric: discovery that is empty makes
// kubectl and Helm fail for the whole cluster. It is the name that other adapters
// use, and reading it gives 404 like any other that is not served.
const placeholder = "externalmetrics"

// reasonNotFound is the cause of 404.
const reasonNotFound = "MetricNotFound"

// ReadObserver hears of serving reads, for metrics. Result is "success",
// "notFound" or a fault's reason.
type ReadObserver interface {
	Read(result string)
}

// externalProvider answers reads of external metrics from the table.
type externalProvider struct {
	table    *table.Table
	clock    clock.PassiveClock
	observer ReadObserver
	// peers are asked for what nothing here serves; nil for none.
	peers *peer.Set
}

var _ provider.ExternalMetricsProvider = (*externalProvider)(nil)

// GetExternalMetric gives the metric's sample with the sample's own time. A name
// that nothing serves and no peer knows, or a selector that does not match, is 404; a sample that
// must not be served is 503 with source, age and last failure.
func (p *externalProvider) GetExternalMetric(ctx context.Context, namespace string, selector labels.Selector,
	info provider.ExternalMetricInfo,
) (*external_metrics.ExternalMetricValueList, error) {
	entry, ok := p.table.Get(namespace, info.Metric)
	if !ok {
		if list, covered, err := p.passOn(ctx, namespace, info.Metric, selector); covered {
			return list, err
		}
		p.observer.Read("notFound")
		return nil, notFound(info.Metric, fmt.Sprintf("no MetricSource in namespace %s serves metric %s", namespace, info.Metric))
	}
	sample := entry.Sample
	if selector != nil && !selector.Matches(labels.Set(sample.Labels)) {
		p.observer.Read("notFound")
		return nil, notFound(info.Metric, fmt.Sprintf("metric %s of %s has labels {%s}, which selector %q does not match",
			info.Metric, entry.Unit, labels.Set(sample.Labels), selector))
	}
	sample, fault := query.Serve(sample, *entry.Facts, p.clock.Now())
	if fault != nil {
		p.observer.Read(fault.Reason)
		return nil, unavailable(info.Metric, *fault)
	}
	p.observer.Read("success")
	return &external_metrics.ExternalMetricValueList{
		Items: []external_metrics.ExternalMetricValue{render(sample, *entry.Facts)},
	}, nil
}

// noLabels are those of samples without any, of all of them: nobody changes what is
// served.
var noLabels = map[string]string{}

func render(s query.Sample, f query.Facts) external_metrics.ExternalMetricValue {
	value := external_metrics.ExternalMetricValue{
		MetricName:   s.Metric,
		MetricLabels: s.Labels,
		Timestamp:    metav1.NewTime(f.SampledAt),
		Value:        query.Quantity(s.Value),
	}
	if value.MetricLabels == nil {
		value.MetricLabels = noLabels
	}
	if s.WindowSeconds > 0 {
		window := s.WindowSeconds
		value.WindowSeconds = &window
	}
	return value
}

// ListAllExternalMetrics lists the names served in any namespace, here or by a
// peer.
func (p *externalProvider) ListAllExternalMetrics() []provider.ExternalMetricInfo {
	names := p.merged(p.table.Names())
	if len(names) == 0 {
		return []provider.ExternalMetricInfo{{Metric: placeholder}}
	}
	return infos(names)
}

func notFound(metric, message string) error {
	return statusError(http.StatusNotFound, metav1.StatusReasonNotFound, metric,
		decision.Fault{Reason: reasonNotFound, Message: message}, message)
}

// unavailable gives no time to retry after: clients would wait for it in the
// middle of their loop, and the next poll is nearer than any such time.
func unavailable(metric string, f decision.Fault) error {
	return statusError(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, metric, f, f.Error())
}

func statusError(code int32, reason metav1.StatusReason, metric string, f decision.Fault, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
		Details: &metav1.StatusDetails{
			Group: external_metrics.GroupName, Kind: "ExternalMetricValue", Name: metric,
			Causes: []metav1.StatusCause{{Type: metav1.CauseType(f.Reason), Message: f.Message}},
		},
	}}
}
