package controller

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpatyped "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/typed/autoscaling.k8s.io/v1"
	"k8s.io/client-go/util/retry"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// fieldManager is the name that our writes carry.
const fieldManager = "quartet-vpa-recommender"

// statusWriter writes the status of objects.
type statusWriter struct {
	client vpatyped.VerticalPodAutoscalersGetter
}

// write lays the decision over the status, where that changes it, and notes the
// written object in the visit. The object may have moved on since it was cached:
// then the decision is laid over what it is now.
func (w *statusWriter) write(ctx context.Context, v *visit, d estimator.Decision) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		err := w.try(ctx, v, d)
		if err == nil {
			return nil
		}
		latest, getErr := w.client.VerticalPodAutoscalers(v.vpa.Namespace).Get(ctx, v.vpa.Name, metav1.GetOptions{})
		if getErr == nil && latest.UID == v.vpa.UID {
			v.vpa = latest
		}
		return err
	})
}

// try writes once, over the object as the visit has it.
func (w *statusWriter) try(ctx context.Context, v *visit, d estimator.Decision) error {
	status := newStatus(&v.vpa.Status, d)
	if equality.Semantic.DeepEqual(v.vpa.Status, status) {
		return nil
	}
	// A shallow copy: nothing that it shares with the cache is changed.
	object := *v.vpa
	object.ManagedFields, object.Status = nil, status
	written, err := w.client.VerticalPodAutoscalers(object.Namespace).UpdateStatus(ctx, &object, metav1.UpdateOptions{FieldManager: fieldManager})
	if err == nil {
		v.vpa = written
	}
	return err
}

// newStatus lays a decision over the status that the object has. The result
// shares nothing that is changed with it.
func newStatus(old *vpav1.VerticalPodAutoscalerStatus, d estimator.Decision) vpav1.VerticalPodAutoscalerStatus {
	status := *old
	status.Conditions = newConditions(old.Conditions, d)
	if d.Status.Scope == estimator.ScopeConditions {
		return status
	}
	generation := d.Status.ObservedGeneration
	status.ObservedGeneration = &generation
	if d.Status.Scope == estimator.ScopeUnmoved {
		return status
	}
	status.Recommendation = &vpav1.RecommendedPodResources{}
	for _, c := range d.To {
		status.Recommendation.ContainerRecommendations = append(status.Recommendation.ContainerRecommendations,
			vpav1.RecommendedContainerResources{
				ContainerName: c.Container, Target: resourceList(c.Target), LowerBound: resourceList(c.Lower),
				UpperBound: resourceList(c.Upper), UncappedTarget: resourceList(c.Uncapped),
			})
	}
	return status
}

func resourceList(a estimator.Amounts) corev1.ResourceList {
	out := corev1.ResourceList{}
	if a.CPU != nil {
		out[corev1.ResourceCPU] = *estimator.Quantity(estimator.CPU, *a.CPU)
	}
	if a.Memory != nil {
		out[corev1.ResourceMemory] = *estimator.Quantity(estimator.Memory, *a.Memory)
	}
	return out
}

func newConditions(old []vpav1.VerticalPodAutoscalerCondition, d estimator.Decision) []vpav1.VerticalPodAutoscalerCondition {
	out := make([]vpav1.VerticalPodAutoscalerCondition, 0, len(old)+len(d.Conditions))
	for _, c := range old {
		if !slices.Contains(d.Status.Withdrawn, string(c.Type)) {
			out = append(out, c)
		}
	}
	for _, want := range d.Conditions {
		out = setCondition(out, want, d.At)
	}
	slices.SortStableFunc(out, func(a, b vpav1.VerticalPodAutoscalerCondition) int { return cmp.Compare(a.Type, b.Type) })
	return out
}

func setCondition(all []vpav1.VerticalPodAutoscalerCondition, want decision.Condition, at time.Time) []vpav1.VerticalPodAutoscalerCondition {
	i := slices.IndexFunc(all, func(c vpav1.VerticalPodAutoscalerCondition) bool { return string(c.Type) == want.Type })
	if i < 0 {
		i = len(all)
		all = append(all, vpav1.VerticalPodAutoscalerCondition{Type: vpav1.VerticalPodAutoscalerConditionType(want.Type)})
	}
	c := &all[i]
	if string(c.Status) != string(want.Status) {
		c.LastTransitionTime = metav1.NewTime(at)
	}
	c.Status, c.Reason, c.Message = corev1.ConditionStatus(want.Status), want.Reason, want.Message
	return all
}
