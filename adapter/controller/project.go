package controller

import (
	"cmp"
	"fmt"
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
		object := viewOf(o)
		if object == nil {
			return nil
		}
		return object.metricNames()
	}
}

func (o *object) metricNames() []string {
	names := make([]string, 0, len(o.spec.Metrics))
	for _, m := range o.spec.Metrics {
		names = append(names, m.Name)
	}
	return names
}

// Spec gives the part of a MetricSource or a ClusterMetricSource that decisions
// are made from, for those who decide without a cluster. Description is what the
// source is called.
func Spec(o client.Object, description string) (query.Spec, error) {
	object := viewOf(o)
	if object == nil {
		return query.Spec{}, fmt.Errorf("a %T is no source of metrics", o)
	}
	_, err := object.namespaces()
	return project(object, description), err
}

// project makes the part of an object that decisions are made from. Where its
// namespaces cannot be told it serves in none: it has no metrics then.
func project(o *object, description string) query.Spec {
	namespaces, err := o.namespaces()
	spec := query.Spec{
		Generation:   o.GetGeneration(),
		Namespaces:   namespaces,
		Source:       description,
		MaxAge:       orDefault(o.spec.MaxAge.Duration, defaultMaxAge),
		OnStale:      projectOnStale(o.spec.OnStale),
		PollInterval: max(collector.MinInterval, orDefault(o.spec.PollInterval.Duration, defaultPollInterval)),
	}
	if err != nil {
		return spec
	}
	for _, m := range o.spec.Metrics {
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
