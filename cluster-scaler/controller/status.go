package controller

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
)

// fieldManager is the name that our writes carry.
const fieldManager = "quartet-cluster-scaler"

// poolWriter writes the status of pools, on top of what it is at the time.
type poolWriter struct {
	client client.Client
}

// errGone tells that the pool is gone, or gave its name to another.
var errGone = errors.New("the pool is gone")

// update changes a pool's status, and writes it where it is otherwise then.
func (w *poolWriter) update(ctx context.Context, name, uid string, change func(*v1alpha1.NodePoolStatus)) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var pool v1alpha1.NodePool
		if err := w.client.Get(ctx, types.NamespacedName{Name: name}, &pool); err != nil {
			return err
		}
		if string(pool.UID) != uid {
			return errGone
		}
		before := pool.Status.DeepCopy()
		change(&pool.Status)
		if equality.Semantic.DeepEqual(*before, pool.Status) {
			return nil
		}
		return w.client.Status().Update(ctx, &pool, client.FieldOwner(fieldManager))
	})
}

// show lays a report over a pool's status. What was asked for is not the
// report's to change.
func show(s *v1alpha1.NodePoolStatus, r plan.PoolReport, at time.Time) {
	target := int32(r.Target)
	s.ObservedGeneration, s.Provider, s.Target = r.Generation, r.Provider, &target
	s.Nodes, s.Ready, s.Draining = int32(r.Nodes), int32(r.Ready), int32(r.Draining)
	s.Starting = int32(r.Starting)
	s.Message = r.Message
	if s.BackoffUntil != nil && !at.Before(s.BackoffUntil.Time) {
		s.BackoffUntil = nil
	}
	s.Held = nil
	for _, reason := range nodepool.Names(r.Held) {
		s.Held = append(s.Held, v1alpha1.HeldNodes{Reason: reason, Nodes: int32(r.Held[reason])})
	}
	for _, c := range r.Conditions {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: c.Type, Status: metav1.ConditionStatus(c.Status), Reason: c.Reason, Message: c.Message,
			ObservedGeneration: r.Generation, LastTransitionTime: metav1.NewTime(at),
		})
	}
}
