package controller

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// usageTimeout ends a question to the metrics API that is not answered, and
// usageLasts is how long an answer serves the objects of its namespace.
const (
	usageTimeout = 10 * time.Second
	usageLasts   = 30 * time.Second
)

// usage asks what pods use, once a namespace and pass.
type usage struct {
	list func(ctx context.Context, namespace string) (*metricsapi.PodMetricsList, error)

	mu     sync.Mutex
	listed map[string]answer
}

// answer is one namespace's.
type answer struct {
	at   time.Time
	pods map[string]map[string]resource.Quantity
	err  string
}

func newUsage(client metricsclient.PodMetricsesGetter) *usage {
	return &usage{list: func(ctx context.Context, namespace string) (*metricsapi.PodMetricsList, error) {
		return client.PodMetricses(namespace).List(ctx, metav1.ListOptions{})
	}}
}

// of gives what the containers of a pod use.
func (u *usage) of(ctx context.Context, pod *corev1.Pod, now time.Time) *eviction.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	a, known := u.listed[pod.Namespace]
	if age := now.Sub(a.at); !known || age >= usageLasts || age < 0 {
		a = u.ask(ctx, pod.Namespace)
		a.at = now
		if u.listed == nil {
			u.listed = map[string]answer{}
		}
		u.listed[pod.Namespace] = a
	}
	return &eviction.Usage{Memory: a.pods[pod.Name], Error: a.err}
}

func (u *usage) ask(ctx context.Context, namespace string) answer {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	found, err := u.list(ctx, namespace)
	if err != nil {
		return answer{err: err.Error()}
	}
	a := answer{pods: make(map[string]map[string]resource.Quantity, len(found.Items))}
	for _, pod := range found.Items {
		used := map[string]resource.Quantity{}
		for _, c := range pod.Containers {
			if q, ok := c.Usage[corev1.ResourceMemory]; ok {
				used[c.Name] = q
			}
		}
		a.pods[pod.Name] = used
	}
	return a
}
