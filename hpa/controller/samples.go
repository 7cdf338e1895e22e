package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	custommetrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// metricsTimeout ends a request to a metrics API for which nobody waits any more.
const metricsTimeout = queryLimit + time.Second

// defaultWindow is the window of a custom metric that states none.
const defaultWindow = time.Minute

// sampler asks the three metrics APIs.
type sampler struct{ MetricsClients }

func newMetricsClients(config *rest.Config, mapper meta.RESTMapper) (MetricsClients, error) {
	bounded := rest.CopyConfig(config)
	bounded.Timeout = metricsTimeout
	resources, err := resourceclient.NewForConfig(bounded)
	if err != nil {
		return MetricsClients{}, fmt.Errorf("make a client for resource metrics: %w", err)
	}
	external, err := externalclient.NewForConfig(bounded)
	if err != nil {
		return MetricsClients{}, fmt.Errorf("make a client for external metrics: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(bounded)
	if err != nil {
		return MetricsClients{}, fmt.Errorf("make a client for custom metrics: %w", err)
	}
	custom := customclient.NewForConfig(bounded, mapper, customclient.NewAvailableAPIsGetter(disco))
	return MetricsClients{Resources: resources, Custom: custom, External: external}, nil
}

// sample asks for one metric. What fails is data: the text is that of upstream's
// client, since conditions and events quote it.
func (s *sampler) sample(ctx context.Context, namespace string, m replicas.Metric, pods labels.Selector) replicas.Samples {
	switch m.Type {
	case replicas.Resource, replicas.ContainerResource:
		return s.resource(ctx, namespace, m, pods)
	}
	selector, err := metav1.LabelSelectorAsSelector(m.Selector)
	if err != nil {
		return replicas.Samples{SelectorError: err.Error()}
	}
	switch m.Type {
	case replicas.Pods:
		return s.pods(namespace, m, pods, selector)
	case replicas.Object:
		return s.object(namespace, m, selector)
	case replicas.External:
		return s.externals(namespace, m, selector)
	}
	return replicas.Samples{}
}

func unanswered(api string, err error) replicas.Samples {
	return replicas.Samples{Error: fmt.Sprintf("unable to fetch metrics from %s metrics API: %v", api, err)}
}

func empty(api string) replicas.Samples {
	return replicas.Samples{Error: fmt.Sprintf("no metrics returned from %s metrics API", api)}
}

func (s *sampler) resource(ctx context.Context, namespace string, m replicas.Metric, pods labels.Selector) replicas.Samples {
	items, err := s.usages(ctx, namespace, pods)
	return newUsages(items, err, false).samples(question{metric: m})
}

// usages lists what the pods that the selector matches use.
func (s *sampler) usages(ctx context.Context, namespace string, pods labels.Selector) ([]metricsapi.PodMetrics, error) {
	list, err := s.Resources.PodMetricses(namespace).List(ctx, metav1.ListOptions{LabelSelector: pods.String()})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// usage sums the containers, or gives the one that is named. A pod of which a
// container lacks the resource has no usage.
func usage(item *metricsapi.PodMetrics, name corev1.ResourceName, container string) (int64, bool) {
	var total int64
	for i := range item.Containers {
		c := &item.Containers[i]
		if container != "" && c.Name != container {
			continue
		}
		used, ok := c.Usage[name]
		if !ok {
			return 0, false
		}
		if container != "" {
			return kube.Milli(used), true
		}
		total += kube.Milli(used)
	}
	return total, container == "" && len(item.Containers) > 0
}

func (s *sampler) pods(namespace string, m replicas.Metric, pods, selector labels.Selector) replicas.Samples {
	list, err := s.Custom.NamespacedMetrics(namespace).GetForObjects(schema.GroupKind{Kind: "Pod"}, pods, m.Name, selector)
	if err != nil {
		return unanswered(apiCustom, err)
	}
	if len(list.Items) == 0 {
		return empty(apiCustom)
	}
	out := replicas.Samples{At: utc(list.Items[0].Timestamp.Time), Pods: make(map[string]replicas.PodSample, len(list.Items))}
	for i := range list.Items {
		item := &list.Items[i]
		window := defaultWindow
		if item.WindowSeconds != nil {
			window = time.Duration(*item.WindowSeconds) * time.Second
		}
		out.Pods[item.DescribedObject.Name] = replicas.PodSample{
			Value: kube.Milli(item.Value), At: utc(item.Timestamp.Time), Window: window,
		}
	}
	return out
}

func (s *sampler) object(namespace string, m replicas.Metric, selector labels.Selector) replicas.Samples {
	if m.Object == nil {
		return replicas.Samples{}
	}
	kind := schema.FromAPIVersionAndKind(m.Object.APIVersion, m.Object.Kind).GroupKind()
	var value *custommetrics.MetricValue
	var err error
	if kind == (schema.GroupKind{Kind: "Namespace"}) {
		// The object's own namespace, whatever name it gives: nobody looks into another.
		value, err = s.Custom.RootScopedMetrics().GetForObject(kind, namespace, m.Name, selector)
	} else {
		value, err = s.Custom.NamespacedMetrics(namespace).GetForObject(kind, m.Object.Name, m.Name, selector)
	}
	if err != nil {
		return unanswered(apiCustom, err)
	}
	return replicas.Samples{At: utc(value.Timestamp.Time), Values: []int64{kube.Milli(value.Value)}}
}

func (s *sampler) externals(namespace string, m replicas.Metric, selector labels.Selector) replicas.Samples {
	list, err := s.External.NamespacedMetrics(namespace).List(m.Name, selector)
	if err != nil {
		return unanswered(apiExternal, err)
	}
	if len(list.Items) == 0 {
		return empty(apiExternal)
	}
	out := replicas.Samples{At: utc(list.Items[0].Timestamp.Time), Values: make([]int64, len(list.Items))}
	for i := range list.Items {
		out.Values[i] = kube.Milli(list.Items[i].Value)
		out.Oldest = older(out.Oldest, utc(list.Items[i].Timestamp.Time))
	}
	if out.Oldest.Equal(out.At) {
		out.Oldest = time.Time{}
	}
	return out
}

// older is the earlier of two times, of which those that are not set do not count.
func older(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
