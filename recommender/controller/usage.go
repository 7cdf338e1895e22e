package controller

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// metricsTimeout ends a query of the metrics API that does not answer.
const metricsTimeout = 30 * time.Second

// podUsage is what a pod's containers were measured to use.
type podUsage struct {
	at         time.Time
	containers []containerUsage
}

type containerUsage struct {
	name string
	estimator.Amounts
}

// usages are by pod.
type usages map[types.NamespacedName]podUsage

// usageOf lists the usage of the pods of a namespace, or of all where it is empty,
// as far as they are known.
func usageOf(client resourceclient.PodMetricsesGetter, known func(namespace, name string) bool) func(context.Context, string) (usages, error) {
	return func(ctx context.Context, namespace string) (usages, error) {
		ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
		defer cancel()
		found, err := client.PodMetricses(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		out := make(usages, len(found.Items))
		for i := range found.Items {
			pod := &found.Items[i]
			if !pod.Timestamp.IsZero() && known(pod.Namespace, pod.Name) {
				out[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = reduceUsage(pod)
			}
			// What was taken over is not kept a second time.
			pod.Containers = nil
		}
		return out, nil
	}
}

func reduceUsage(pod *metricsapi.PodMetrics) podUsage {
	out := podUsage{at: utc(pod.Timestamp.Time), containers: make([]containerUsage, len(pod.Containers))}
	for i, c := range pod.Containers {
		out.containers[i] = containerUsage{name: c.Name, Amounts: amounts(c.Usage)}
	}
	return out
}
