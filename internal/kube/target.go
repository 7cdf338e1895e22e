package kube

import (
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Target is what is kept of a Deployment, a StatefulSet or a ReplicaSet. Of its
// metadata it has the names, versions, times, owners, and of the managed fields
// those entries that own spec.replicas, without the fields themselves. It is shared
// and must not be changed.
type Target struct {
	metav1.ObjectMeta
	Kind string
	// Replicas is the count asked for.
	Replicas int32
	// Selector is as the scale subresource shows it.
	Selector string
	Status   TargetStatus
	Rollout  Rollout
	// unreadable has the scale asked of the API server: it has words for what is
	// wrong with the selector.
	unreadable bool
}

// TargetStatus is what the target's own controller says.
type TargetStatus struct {
	// Replicas exist, Updated of them are of the newest template. A ReplicaSet has
	// one template only: all of its pods are.
	Replicas, Updated int32
	// ObservedGeneration is the generation that this is said of.
	ObservedGeneration int64
}

// Kinds of targets that are cached.
const (
	kindDeployment  = "Deployment"
	kindStatefulSet = "StatefulSet"
	kindReplicaSet  = "ReplicaSet"
)

// reduceTarget makes a Target of an object of the three kinds, and leaves anything
// else as it is.
func reduceTarget(o any) (any, error) {
	var out *Target
	var asked *int32
	var selector *metav1.LabelSelector
	switch o := o.(type) {
	case *appsv1.Deployment:
		out, asked, selector = newTarget(kindDeployment, &o.ObjectMeta), o.Spec.Replicas, o.Spec.Selector
		out.Status = TargetStatus{Replicas: o.Status.Replicas, Updated: o.Status.UpdatedReplicas, ObservedGeneration: o.Status.ObservedGeneration}
		out.Rollout = deploymentRollout(o)
	case *appsv1.StatefulSet:
		out, asked, selector = newTarget(kindStatefulSet, &o.ObjectMeta), o.Spec.Replicas, o.Spec.Selector
		out.Status = TargetStatus{Replicas: o.Status.Replicas, Updated: o.Status.UpdatedReplicas, ObservedGeneration: o.Status.ObservedGeneration}
		out.Rollout = statefulSetRollout(o)
	case *appsv1.ReplicaSet:
		out, asked, selector = newTarget(kindReplicaSet, &o.ObjectMeta), o.Spec.Replicas, o.Spec.Selector
		out.Status = TargetStatus{Replicas: o.Status.Replicas, Updated: o.Status.Replicas, ObservedGeneration: o.Status.ObservedGeneration}
	default:
		return o, nil
	}
	out.Replicas = 1 // as the API server fills in
	if asked != nil {
		out.Replicas = *asked
	}
	if selector != nil {
		parsed, err := metav1.LabelSelectorAsSelector(selector)
		if out.unreadable = err != nil; err == nil {
			out.Selector = parsed.String()
		}
	}
	return out, nil
}

func newTarget(kind string, m *metav1.ObjectMeta) *Target {
	return &Target{Kind: kind, ObjectMeta: metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
		OwnerReferences: m.OwnerReferences, ManagedFields: replicasOwners(m.ManagedFields),
	}}
}

// replicasOwners are the entries that own spec.replicas.
func replicasOwners(all []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var kept []metav1.ManagedFieldsEntry
	for i := range all {
		if f := &all[i]; ownsReplicas(f) {
			kept = append(kept, metav1.ManagedFieldsEntry{
				Manager: f.Manager, Operation: f.Operation, Subresource: f.Subresource, Time: f.Time,
			})
		}
	}
	return kept
}

func ownsReplicas(f *metav1.ManagedFieldsEntry) bool {
	if f.FieldsV1 == nil || f.Subresource == "status" {
		return false
	}
	var fields struct {
		Spec struct {
			Replicas json.RawMessage `json:"f:replicas"`
		} `json:"f:spec"`
	}
	// Fields that cannot be read name nobody.
	err := json.NewDecoder(f.FieldsV1.GetRawReader()).Decode(&fields)
	return err == nil && fields.Spec.Replicas != nil
}

// scale is the scale subresource as the API server derives it from the object.
func (t *Target) scale() *autoscalingv1.Scale {
	return &autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{APIVersion: autoscalingv1.SchemeGroupVersion.String(), Kind: "Scale"},
		ObjectMeta: metav1.ObjectMeta{
			Name: t.Name, Namespace: t.Namespace, UID: t.UID,
			ResourceVersion: t.ResourceVersion, CreationTimestamp: t.CreationTimestamp,
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: t.Replicas},
		Status: autoscalingv1.ScaleStatus{Replicas: t.Status.Replicas, Selector: t.Selector},
	}
}
