package server

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/utils/clock"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/server/inventory"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// customPlaceholder is listed while no object has a metric, for the reason that
// placeholder is.
var customPlaceholder = provider.CustomMetricInfo{
	GroupResource: schema.GroupResource{Resource: "pods"}, Namespaced: true, Metric: "custommetrics",
}

// Inventory knows the objects of the cluster; see package inventory.
type Inventory interface {
	Kind(resource schema.GroupResource) (schema.GroupVersionKind, error)
	Names(ctx context.Context, resource schema.GroupResource, namespace string, selector labels.Selector) (map[string]bool, error)
}

// customProvider answers reads of custom metrics from the table.
type customProvider struct {
	table    *table.Table
	objects  Inventory
	clock    clock.PassiveClock
	observer ReadObserver
}

var _ provider.CustomMetricsProvider = (*customProvider)(nil)

// asked is one question about a metric.
type asked struct {
	metric    table.ObjectMetric
	resource  schema.GroupResource
	namespace string
	// series chooses among the series of one metric and object.
	series labels.Selector
}

func ask(info provider.CustomMetricInfo, namespace string, series labels.Selector) asked {
	if series == nil {
		series = labels.Everything()
	}
	return asked{
		metric: table.ObjectMetric{
			Metric: info.Metric, Group: info.GroupResource.Group, Resource: info.GroupResource.Resource, Namespaced: info.Namespaced,
		},
		resource: info.GroupResource, namespace: namespace, series: series,
	}
}

// place is "of pods in namespace shop", or "of nodes".
func (a asked) place() string {
	if a.namespace == "" {
		return fmt.Sprintf("of %s", a.resource)
	}
	return fmt.Sprintf("of %s in namespace %s", a.resource, a.namespace)
}

// GetMetricByName gives a metric of one object with the sample's own time.
func (p *customProvider) GetMetricByName(_ context.Context, name types.NamespacedName, info provider.CustomMetricInfo,
	series labels.Selector,
) (*custom_metrics.MetricValue, error) {
	a := ask(info, name.Namespace, series)
	entry, ok := p.table.Object(a.metric, a.namespace, name.Name)
	if !ok {
		return nil, p.none(a, fmt.Sprintf("no MetricSource has a value of metric %s for %s %s", a.metric.Metric, a.resource, name.Name))
	}
	reference, err := p.reference(a)
	if err != nil {
		return nil, err
	}
	value, fault := p.value(a, entry)
	if fault != nil {
		return nil, p.refuse(a, *fault)
	}
	p.observer.Read("success")
	out := value.render(a, reference)
	return &out, nil
}

// GetMetricBySelector gives a metric of every object that a selector matches and
// whose value may be served. Objects without one are left out, as those who scale
// by pods expect: they count what is missing. Where none is left it is an error.
func (p *customProvider) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector,
	info provider.CustomMetricInfo, series labels.Selector,
) (*custom_metrics.MetricValueList, error) {
	a := ask(info, namespace, series)
	entries := p.table.Objects(a.metric, namespace)
	if len(entries) == 0 {
		return nil, p.none(a, fmt.Sprintf("no MetricSource has a value of metric %s %s", a.metric.Metric, a.place()))
	}
	reference, err := p.reference(a)
	if err != nil {
		return nil, err
	}
	if selector != nil && !selector.Empty() {
		matching, err := p.objects.Names(ctx, a.resource, namespace, selector)
		if err != nil {
			return nil, p.refuse(a, notListed(a, err))
		}
		entries = keep(entries, matching)
	}
	list := &custom_metrics.MetricValueList{Items: make([]custom_metrics.MetricValue, 0, len(entries))}
	var first *decision.Fault
	for _, entry := range entries {
		value, fault := p.value(a, entry)
		switch {
		case fault == nil:
			list.Items = append(list.Items, value.render(a, reference))
		case first == nil || first.Reason == reasonNotFound:
			first = fault
		}
	}
	switch {
	case len(list.Items) > 0:
		p.observer.Read("success")
		return list, nil
	case first != nil:
		return nil, p.refuse(a, *first)
	}
	return nil, p.refuse(a, decision.Fault{Reason: reasonNotFound, Message: fmt.Sprintf(
		"metric %s is known %s, but of none that selector %q matches", a.metric.Metric, a.place(), selector)})
}

// keep gives the entries of the objects with these names.
func keep(entries []table.ObjectEntry, names map[string]bool) []table.ObjectEntry {
	var out []table.ObjectEntry
	for _, e := range entries {
		if names[e.Name()] {
			out = append(out, e)
		}
	}
	return out
}

// objectValue is what is served of one metric and object.
type objectValue struct {
	name          string
	value         float64
	at            query.Time
	windowSeconds int64
}

// value sums the series that the selector matches, as prometheus-adapter's rules
// do by default and HPAs do for external metrics. The sum is as old as the oldest
// of them. One that cannot be served leaves no sum: what is not known is not 0.
func (p *customProvider) value(a asked, entry table.ObjectEntry) (objectValue, *decision.Fault) {
	out := objectValue{name: entry.Name()}
	now, found := p.clock.Now(), false
	for _, v := range entry.Values {
		if !a.series.Matches(labels.Set(v.Labels)) {
			continue
		}
		value, fault := query.ServeObject(v, *entry.Facts, now)
		if fault != nil {
			return objectValue{}, fault
		}
		at := v.MeasuredAt(*entry.Facts)
		if !found || at.Before(out.at) {
			out.at = at
		}
		out.value, found = out.value+value, true
		out.windowSeconds = max(out.windowSeconds, v.WindowSeconds)
	}
	if !found {
		return objectValue{}, &decision.Fault{Source: entry.Facts.Source, Reason: reasonNotFound, Message: fmt.Sprintf(
			"metric %s of %s %s has no series that metricLabelSelector %q matches", a.metric.Metric, a.resource, out.name, a.series)}
	}
	return out, nil
}

func (v objectValue) render(a asked, reference custom_metrics.ObjectReference) custom_metrics.MetricValue {
	reference.Name = v.name
	out := custom_metrics.MetricValue{
		DescribedObject: reference,
		Metric:          custom_metrics.MetricIdentifier{Name: a.metric.Metric},
		Timestamp:       metav1.NewTime(v.at),
		Value:           query.Quantity(v.value),
	}
	if !a.series.Empty() {
		// A selector that was parsed is one that can be told.
		out.Metric.Selector, _ = metav1.ParseToLabelSelector(a.series.String())
	}
	if v.windowSeconds > 0 {
		out.WindowSeconds = &v.windowSeconds
	}
	return out
}

// reference is what all objects of a question have in common.
func (p *customProvider) reference(a asked) (custom_metrics.ObjectReference, error) {
	gvk, err := p.objects.Kind(a.resource)
	switch {
	case apimeta.IsNoMatchError(err):
		return custom_metrics.ObjectReference{}, p.refuse(a, decision.Fault{
			Reason: reasonNotFound, Message: fmt.Sprintf("the cluster has no resource %s", a.resource)})
	case err != nil:
		return custom_metrics.ObjectReference{}, p.refuse(a, decision.Fault{
			Reason: "KindNotKnown", Message: fmt.Sprintf("the API server did not tell the kind of %s: %v", a.resource, err)})
	}
	return custom_metrics.ObjectReference{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: a.namespace}, nil
}

// notListed says why a selector could not be answered.
func notListed(a asked, err error) decision.Fault {
	if inventory.IsForbidden(err) {
		return decision.Fault{Reason: "ObjectsForbidden", Message: fmt.Sprintf(
			"a selector needs the labels of %s, which this adapter may not list: add %s to the chart's value metricsAdapter.customMetrics.resources",
			a.resource, a.resource)}
	}
	return decision.Fault{Reason: "ObjectsNotListed", Message: err.Error()}
}

// none is the answer where no value is held: not found, or, where the metric is
// that of a source that was never read, why not.
func (p *customProvider) none(a asked, message string) error {
	if entry, ok := p.table.Get(a.namespace, a.metric.Metric); ok && a.namespace != "" && entry.Sample.Kind == query.Value {
		if fault := entry.Facts.NeverRead(); fault != nil {
			return p.refuse(a, *fault)
		}
	}
	return p.refuse(a, decision.Fault{Reason: reasonNotFound, Message: message})
}

// refuse makes the error of a fault: 404 where there is no such metric, object or
// series, and 503 where there should be a value.
func (p *customProvider) refuse(a asked, f decision.Fault) error {
	status := metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable, Message: f.Error(),
		Details: &metav1.StatusDetails{
			Group: custom_metrics.GroupName, Kind: "MetricValue", Name: a.metric.Metric,
			Causes: []metav1.StatusCause{{Type: metav1.CauseType(f.Reason), Message: f.Message}},
		},
	}
	if f.Reason == reasonNotFound {
		status.Code, status.Reason, status.Message = http.StatusNotFound, metav1.StatusReasonNotFound, f.Message
		p.observer.Read("notFound")
	} else {
		p.observer.Read(f.Reason)
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// ListAllMetrics lists the metrics of objects. A resource that is said to be both
// within namespaces and not is listed as the former: discovery has no form for it.
func (p *customProvider) ListAllMetrics() []provider.CustomMetricInfo {
	metrics := p.table.ObjectMetrics()
	if len(metrics) == 0 {
		return []provider.CustomMetricInfo{customPlaceholder}
	}
	namespaced := map[schema.GroupResource]bool{}
	for _, m := range metrics {
		if m.Namespaced {
			namespaced[schema.GroupResource{Group: m.Group, Resource: m.Resource}] = true
		}
	}
	infos := make([]provider.CustomMetricInfo, 0, len(metrics))
	for _, m := range metrics {
		resource := schema.GroupResource{Group: m.Group, Resource: m.Resource}
		if m.Namespaced || !namespaced[resource] {
			infos = append(infos, provider.CustomMetricInfo{GroupResource: resource, Namespaced: m.Namespaced, Metric: m.Metric})
		}
	}
	return infos
}
