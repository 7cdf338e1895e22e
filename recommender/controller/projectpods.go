package controller

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// projectPods takes over pods of one namespace with their usage by name, apart from
// the caches.
func projectPods(pods []*corev1.Pod, usage map[string]*metricsapi.PodMetrics) map[string]estimator.Pod {
	records, measured := make([]*podRecord, len(pods)), usages{}
	for i, pod := range pods {
		records[i] = recordPod(pod, false)
		if u := usage[pod.Name]; u != nil && !u.Timestamp.IsZero() {
			measured[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = reduceUsage(u)
		}
	}
	return projectRecords(records, measured)
}
