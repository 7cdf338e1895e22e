package controller

import (
	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// View is what a recommender with these flags makes of objects, apart from a
// cluster: what the rules see of them, and the status that a decision becomes.
// With it decisions can be held against another recommender's.
type View struct {
	Options *Options
}

// Config is what the flags say.
func (v View) Config() estimator.Config { return v.Options.rules() }

// VPA is what is decided on, taken from an object and its status.
func (v View) VPA(vpa *vpav1.VerticalPodAutoscaler) estimator.VPA { return projectVPA(vpa) }

// Pods are what is learned from: the pods that have been started, and their
// usage by name. The pods are not changed.
func (v View) Pods(pods []*corev1.Pod, usage map[string]*metricsapi.PodMetrics) map[string]estimator.Pod {
	return projectPods(pods, usage)
}

// Status is the old status with the decision laid over it.
func (v View) Status(old *vpav1.VerticalPodAutoscalerStatus, d estimator.Decision) vpav1.VerticalPodAutoscalerStatus {
	return newStatus(old, d)
}
