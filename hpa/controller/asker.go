package controller

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// For how long an answer is handed out to other objects. Usage is sampled every
// fifteen seconds or more seldom.
const (
	usageAge  = 3 * time.Second
	metricAge = time.Second
	// agePart keeps both well below a short sync period.
	agePart = 5
)

// The metrics APIs, as their errors name them.
const (
	apiResource = "resource"
	apiCustom   = "custom"
	apiExternal = "external"
)

// usageLister lists the usage of pods. A source that is none is asked for each
// object's by itself.
type usageLister interface {
	usages(ctx context.Context, namespace string, pods labels.Selector) ([]metricsapi.PodMetrics, error)
}

// question is one metric of one object. pods are those that selector, whose text is
// as the scale gives it, matches.
type question struct {
	namespace string
	metric    replicas.Metric
	selector  labels.Selector
	text      string
	pods      []*corev1.Pod
}

// pending is the answer to a question, which may be read once done is closed.
type pending struct {
	done <-chan struct{}
	read func() (replicas.Samples, time.Duration)
}

// asker asks the metrics APIs for all objects: the same question once, usage for a
// whole namespace where several objects ask for it, and each backend by itself, so
// that a slow one delays only who asks it.
type asker struct {
	source   metricSource
	lister   usageLister
	backends *backends
	usage    *flights[usageKey, *usages]
	others   *flights[sampleKey, replicas.Samples]
	crowds   *crowds
}

// usageKey names a list of pods' usage: by selector, or of the namespace where that
// is empty.
type usageKey struct{ namespace, selector string }

// sampleKey names a question of the other APIs. pods is empty where the answer does
// not depend on the object's pods.
type sampleKey struct {
	kind, namespace, name, container string
	object                           replicas.Target
	selector, pods                   string
}

func newAsker(source metricSource, period time.Duration, m *queryMetrics) *asker {
	a := &asker{
		source: source, backends: newBackends(period, m), crowds: newCrowds(period),
		usage:  newFlights[usageKey, *usages](min(usageAge, period/agePart)),
		others: newFlights[sampleKey, replicas.Samples](min(metricAge, period/agePart)),
	}
	a.lister, _ = source.(usageLister)
	a.usage.landed = func(key usageKey, u *usages) {
		if key.selector == "" {
			a.crowds.used(key.namespace, u)
		}
	}
	return a
}

// changed has an external metric asked anew, in all namespaces where that is empty.
func (a *asker) changed(namespace, metric string) {
	a.others.forget(func(k sampleKey) bool {
		return k.kind == replicas.External && k.name == metric && (namespace == "" || k.namespace == namespace)
	})
}

// ask begins to ask a question, or joins those who do.
func (a *asker) ask(q question) pending {
	if backendOf(q.metric).api == apiResource && a.lister != nil {
		return a.askUsage(q)
	}
	f := a.others.ask(keyOf(q), func() replicas.Samples {
		at := backendOf(q.metric)
		samples, err := query(a.backends, at, q.namespace, func(ctx context.Context) (replicas.Samples, error) {
			s := a.source.sample(ctx, q.namespace, q.metric, q.selector)
			if s.Error != "" {
				return s, errors.New(s.Error)
			}
			return s, nil
		})
		if err != nil && samples.Error == "" {
			return unanswered(at.api, err)
		}
		return samples
	})
	return pending{done: f.done, read: func() (replicas.Samples, time.Duration) { return f.value, f.took }}
}

func (a *asker) askUsage(q question) pending {
	key := usageKey{namespace: q.namespace, selector: q.text}
	selector := q.selector
	if a.crowds.whole(q.namespace, q.text) {
		key.selector, selector = "", labels.Everything()
	}
	f := a.usage.ask(key, func() *usages {
		list, err := query(a.backends, backend{api: apiResource}, q.namespace, func(ctx context.Context) ([]metricsapi.PodMetrics, error) {
			return a.lister.usages(ctx, q.namespace, selector)
		})
		return newUsages(list, err, key.selector == "")
	})
	return pending{done: f.done, read: func() (replicas.Samples, time.Duration) { return f.value.samples(q), f.took }}
}

// backendOf tells where a metric is asked.
func backendOf(m replicas.Metric) backend {
	switch m.Type {
	case replicas.Pods, replicas.Object:
		return backend{api: apiCustom, metric: m.Name}
	case replicas.External:
		return backend{api: apiExternal, metric: m.Name}
	}
	return backend{api: apiResource}
}

func keyOf(q question) sampleKey {
	m := q.metric
	key := sampleKey{kind: m.Type, namespace: q.namespace, name: m.Name, container: m.Container}
	if m.Selector != nil {
		key.selector = m.Selector.String()
	}
	if m.Object != nil {
		key.object = *m.Object
	}
	if m.Type != replicas.Object && m.Type != replicas.External {
		key.pods = q.text
	}
	return key
}
