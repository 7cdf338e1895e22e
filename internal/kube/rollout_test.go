package kube

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestDeploymentRollout(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	ten := int32(10)
	surge := func(s string) *intstr.IntOrString { v := intstr.Parse(s); return &v }
	make := func(revision string, replicas, updated int32, status corev1.ConditionStatus, reason string) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{revisionAnnotation: revision}}}
		d.Spec.Replicas = &ten
		d.Status.Replicas, d.Status.UpdatedReplicas = replicas, updated
		d.Status.Conditions = []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
			{Type: appsv1.DeploymentProgressing, Status: status, Reason: reason, LastUpdateTime: metav1.NewTime(at)},
		}
		return d
	}
	strategy := func(d *appsv1.Deployment, kind appsv1.DeploymentStrategyType, most *intstr.IntOrString) *appsv1.Deployment {
		d.Spec.Strategy.Type = kind
		if most != nil {
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: most}
		}
		return d
	}
	rolling := func() *appsv1.Deployment { return make("2", 13, 3, corev1.ConditionTrue, "ReplicaSetUpdated") }
	tests := map[string]struct {
		in   *appsv1.Deployment
		want Rollout
	}{
		"its first":                   {make("1", 10, 10, corev1.ConditionTrue, "NewReplicaSetCreated"), Rollout{Surge: 3}},
		"its first, long ago":         {make("1", 10, 10, corev1.ConditionTrue, reasonAvailable), Rollout{Surge: 3}},
		"under way":                   {rolling(), Rollout{UnderWay: true, Surge: 3}},
		"new pods are not available":  {make("2", 10, 10, corev1.ConditionTrue, "ReplicaSetUpdated"), Rollout{UnderWay: true, Surge: 3}},
		"seen before its condition":   {make("2", 10, 0, corev1.ConditionTrue, reasonAvailable), Rollout{UnderWay: true, Surge: 3, Ended: at}},
		"complete":                    {make("2", 10, 10, corev1.ConditionTrue, reasonAvailable), Rollout{Surge: 3, Ended: at}},
		"past its deadline":           {make("2", 13, 3, corev1.ConditionFalse, "ProgressDeadlineExceeded"), Rollout{Surge: 3}},
		"paused half way":             {make("2", 13, 3, corev1.ConditionUnknown, "DeploymentPaused"), Rollout{UnderWay: true, Surge: 3}},
		"a surge in pods":             {strategy(rolling(), "", surge("7")), Rollout{UnderWay: true, Surge: 7}},
		"a surge of no pods":          {strategy(rolling(), "", surge("0")), Rollout{UnderWay: true}},
		"a surge that cannot be read": {strategy(rolling(), "", surge("many")), Rollout{UnderWay: true}},
		"all at once":                 {strategy(rolling(), appsv1.RecreateDeploymentStrategyType, nil), Rollout{UnderWay: true}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, deploymentRollout(tc.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStatefulSetRollout(t *testing.T) {
	tests := map[string]struct {
		current, update   string
		replicas, updated int32
		want              bool
	}{
		"new":       {"", "a", 3, 3, false},
		"at rest":   {"a", "a", 3, 3, false},
		"under way": {"a", "b", 3, 1, true},
		"almost":    {"a", "b", 3, 3, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := &appsv1.StatefulSet{Status: appsv1.StatefulSetStatus{
				CurrentRevision: tc.current, UpdateRevision: tc.update, Replicas: tc.replicas, UpdatedReplicas: tc.updated,
			}}
			if got := statefulSetRollout(s); got.UnderWay != tc.want || got.Surge != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}
