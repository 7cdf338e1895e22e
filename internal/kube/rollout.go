package kube

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Rollout is what a target's status tells of the change of its template.
type Rollout struct {
	// UnderWay tells that pods of an older template are there, or that those of the
	// newest are not all available yet. A rollout that exceeded its progress
	// deadline is not under way.
	UnderWay bool
	// Ended is when the last one was complete, zero where that is not known.
	Ended time.Time
	// Surge is by how many pods the target may exceed its count meanwhile.
	Surge int32
}

const (
	// revisionAnnotation counts the templates that a Deployment has had.
	revisionAnnotation = "deployment.kubernetes.io/revision"
	firstRevision      = "1"
	reasonAvailable    = "NewReplicaSetAvailable"
)

// defaultSurge is what the API server fills in.
var defaultSurge = intstr.FromString("25%")

// deploymentRollout reads the rollout off a Deployment. Its first one is none:
// there are no pods that it takes the place of.
func deploymentRollout(d *appsv1.Deployment) Rollout {
	out := Rollout{Surge: surge(d)}
	mixed := d.Status.Replicas > d.Status.UpdatedReplicas
	revision := d.Annotations[revisionAnnotation]
	first := revision == "" || revision == firstRevision
	for i := range d.Status.Conditions {
		c := &d.Status.Conditions[i]
		if c.Type != appsv1.DeploymentProgressing {
			continue
		}
		switch {
		case c.Status == corev1.ConditionFalse:
			return out
		case first:
		case c.Reason == reasonAvailable:
			out.Ended = c.LastUpdateTime.UTC()
		case c.Reason == "ReplicaSetUpdated", c.Reason == "NewReplicaSetCreated", c.Reason == "FoundNewReplicaSet":
			out.UnderWay = true
		}
	}
	out.UnderWay = out.UnderWay || mixed
	return out
}

func surge(d *appsv1.Deployment) int32 {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return 0
	}
	most := &defaultSurge
	if r := d.Spec.Strategy.RollingUpdate; r != nil && r.MaxSurge != nil {
		most = r.MaxSurge
	}
	replicas := 1
	if d.Spec.Replicas != nil {
		replicas = int(*d.Spec.Replicas)
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(most, replicas, true)
	if err != nil {
		return 0
	}
	return int32(min(max(n, 0), 1<<30))
}

// statefulSetRollout reads the rollout off a StatefulSet, which never has more
// pods than its count.
func statefulSetRollout(s *appsv1.StatefulSet) Rollout {
	changed := s.Status.CurrentRevision != "" && s.Status.CurrentRevision != s.Status.UpdateRevision
	return Rollout{UnderWay: changed && s.Status.Replicas > s.Status.UpdatedReplicas}
}
