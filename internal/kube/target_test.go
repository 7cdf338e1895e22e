package kube

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestReduceTarget(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	three := int32(3)
	entry := func(manager, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationApply, Subresource: subresource,
			Time: &at, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
		}
	}
	in := metav1.ObjectMeta{
		Namespace: "shop", Name: "web", UID: "u1", ResourceVersion: "7", Generation: 4, CreationTimestamp: at,
		Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": "long"},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Rollout", Name: "web"}},
		ManagedFields: []metav1.ManagedFieldsEntry{
			entry("git", "", `{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:replicas":{},"f:template":{}}}`),
			entry("scaler", "scale", `{"f:spec":{"f:replicas":{}}}`),
			entry("kube-controller-manager", "status", `{"f:status":{"f:replicas":{}}}`),
			entry("images", "", `{"f:spec":{"f:template":{"f:spec":{"f:replicas":{}}}}}`),
			entry("broken", "", `{"f:spec":`),
			{Manager: "nothing", Operation: metav1.ManagedFieldsOperationUpdate},
		},
	}
	selector := &metav1.LabelSelector{
		MatchLabels: map[string]string{"app": "web"},
		MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"front", "back"}},
		},
	}
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "secret"}}}}
	want := func(kind string, status TargetStatus) *Target {
		return &Target{
			Kind: kind, Replicas: 3, Selector: "app=web,tier in (back,front)", Status: status,
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "web", UID: "u1", ResourceVersion: "7", Generation: 4, CreationTimestamp: at,
				OwnerReferences: in.OwnerReferences,
				ManagedFields: []metav1.ManagedFieldsEntry{
					{Manager: "git", Operation: "Apply", Time: &at},
					{Manager: "scaler", Operation: "Apply", Subresource: "scale", Time: &at},
				},
			},
		}
	}
	rolling := want(kindDeployment, TargetStatus{Replicas: 5, Updated: 2, ObservedGeneration: 3})
	rolling.Rollout = Rollout{UnderWay: true, Surge: 1}
	defaulted := want(kindReplicaSet, TargetStatus{})
	defaulted.Replicas = 1
	unreadable := want(kindReplicaSet, TargetStatus{})
	unreadable.Selector, unreadable.unreadable = "", true
	tests := map[string]struct {
		in   any
		want *Target
	}{
		"Deployment": {
			&appsv1.Deployment{
				ObjectMeta: *in.DeepCopy(), Spec: appsv1.DeploymentSpec{Replicas: &three, Selector: selector, Template: template},
				Status: appsv1.DeploymentStatus{Replicas: 5, UpdatedReplicas: 2, ObservedGeneration: 3},
			},
			rolling,
		},
		"StatefulSet": {
			&appsv1.StatefulSet{
				ObjectMeta: *in.DeepCopy(), Spec: appsv1.StatefulSetSpec{Replicas: &three, Selector: selector, Template: template},
				Status: appsv1.StatefulSetStatus{Replicas: 5, UpdatedReplicas: 2, ObservedGeneration: 3},
			},
			want(kindStatefulSet, TargetStatus{Replicas: 5, Updated: 2, ObservedGeneration: 3}),
		},
		"ReplicaSet": {
			&appsv1.ReplicaSet{
				ObjectMeta: *in.DeepCopy(), Spec: appsv1.ReplicaSetSpec{Replicas: &three, Selector: selector, Template: template},
				Status: appsv1.ReplicaSetStatus{Replicas: 5, ObservedGeneration: 3},
			},
			want(kindReplicaSet, TargetStatus{Replicas: 5, Updated: 5, ObservedGeneration: 3}),
		},
		"no count": {
			&appsv1.ReplicaSet{ObjectMeta: *in.DeepCopy(), Spec: appsv1.ReplicaSetSpec{Selector: selector}},
			defaulted,
		},
		"a selector that cannot be read": {
			&appsv1.ReplicaSet{ObjectMeta: *in.DeepCopy(), Spec: appsv1.ReplicaSetSpec{Replicas: &three, Selector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}},
			}}},
			unreadable,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := reduceTarget(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(Target{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
