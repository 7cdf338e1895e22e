package controller

import (
	"cmp"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// The defaults of the API, for objects that were written before it had them.
const (
	defaultPollInterval = 5 * time.Second
	defaultTimeout      = 5 * time.Second
	defaultMaxAge       = time.Minute
)

// metricNameIndex finds objects by the metric names that they declare.
const metricNameIndex = "spec.metrics.name"

// IndexMetricNames gives the name and the values of the index that the cache of
// objects needs.
func IndexMetricNames() (field string, values client.IndexerFunc) {
	return metricNameIndex, func(o client.Object) []string {
		object, ok := o.(*v1alpha1.MetricSource)
		if !ok {
			return nil
		}
		return metricNames(object)
	}
}

func metricNames(object *v1alpha1.MetricSource) []string {
	names := make([]string, 0, len(object.Spec.Metrics))
	for _, m := range object.Spec.Metrics {
		names = append(names, m.Name)
	}
	return names
}

// project makes the part of an object that decisions are made from.
func project(object *v1alpha1.MetricSource, description string) query.Spec {
	spec := query.Spec{
		Generation:   object.Generation,
		Source:       description,
		MaxAge:       orDefault(object.Spec.MaxAge.Duration, defaultMaxAge),
		OnStale:      projectOnStale(object.Spec.OnStale),
		PollInterval: max(collector.MinInterval, orDefault(object.Spec.PollInterval.Duration, defaultPollInterval)),
	}
	for _, m := range object.Spec.Metrics {
		spec.Metrics = append(spec.Metrics, query.Metric{Name: m.Name, Kind: query.Kind(m.Value), Labels: m.Labels})
	}
	return spec
}

func projectOnStale(o *v1alpha1.OnStale) query.OnStale {
	if o == nil {
		return query.OnStale{}
	}
	out := query.OnStale{Policy: query.StalePolicy(o.Policy)}
	if o.Floor != nil {
		out.Floor = o.Floor.AsApproximateFloat64()
	}
	if o.AtMost != nil {
		out.AtMost = &o.AtMost.Duration
	}
	return out
}

func kinds(metrics []query.Metric) []query.Kind {
	out := make([]query.Kind, 0, len(metrics))
	for _, m := range metrics {
		out = append(out, m.Kind)
	}
	return out
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

func sortedRivals(found map[string]query.Rival) []query.Rival {
	var out []query.Rival
	for _, rival := range found {
		slices.Sort(rival.Metrics)
		out = append(out, rival)
	}
	slices.SortFunc(out, func(a, b query.Rival) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
