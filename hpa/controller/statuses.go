package controller

import (
	"context"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv2 "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// statuses writes the status of either kind of object.
type statuses struct {
	hpas typedv2.HorizontalPodAutoscalersGetter
	// own is nil where HorizontalScalers are not served.
	own client.Client
}

// update writes the status. A conflict is the API's error.
func (s statuses) update(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) error {
	if hpa.Kind != replicas.KindScaler {
		_, err := s.hpas.HorizontalPodAutoscalers(hpa.Namespace).UpdateStatus(ctx, hpa, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	}
	// The spec is not needed: the server takes nothing but the status. Sending it
	// keeps the object valid.
	scaler := &v1alpha1.HorizontalScaler{
		ObjectMeta: hpa.ObjectMeta,
		Spec: v1alpha1.HorizontalScalerSpec{
			ScaleTargetRef: hpa.Spec.ScaleTargetRef, MinReplicas: hpa.Spec.MinReplicas, MaxReplicas: hpa.Spec.MaxReplicas,
			Metrics: hpa.Spec.Metrics, Behavior: hpa.Spec.Behavior,
		},
		Status: hpa.Status,
	}
	return s.own.Status().Update(ctx, scaler, client.FieldOwner(fieldManager))
}

// latest reads an object as it is now.
func (s statuses) latest(ctx context.Context, of *autoscalingv2.HorizontalPodAutoscaler) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	if of.Kind != replicas.KindScaler {
		return s.hpas.HorizontalPodAutoscalers(of.Namespace).Get(ctx, of.Name, metav1.GetOptions{})
	}
	scaler := &v1alpha1.HorizontalScaler{}
	if err := s.own.Get(ctx, client.ObjectKeyFromObject(of), scaler); err != nil {
		return nil, err
	}
	return asHPA(scaler), nil
}
