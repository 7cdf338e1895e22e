package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// NewRecorder makes a recorder of events that come from the component. What is
// recorded is sent, joined and limited in the background until the context ends.
func NewRecorder(ctx context.Context, client kubernetes.Interface, component string) record.EventRecorder {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component})
}

// Reference names the object of an event where the recorder's scheme does not
// know its kind.
func Reference(apiVersion string, unit decision.Unit) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: apiVersion, Kind: unit.Kind, Namespace: unit.Namespace, Name: unit.Name, UID: types.UID(unit.UID),
	}
}
