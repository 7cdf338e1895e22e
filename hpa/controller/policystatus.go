package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// Reasons of the conditions of a policy.
const (
	reasonAttached       = "Attached"
	reasonNoTarget       = "TargetNotFound"
	reasonOlderHolds     = "OlderPolicyHolds"
	reasonInForce        = "InForce"
	reasonUnreadableSpec = "ScheduleNotReadable"
)

// policyStatuses shows on each HorizontalScalingPolicy whether it is attached and
// in force. It writes a status where it changes, and tells an event then.
type policyStatuses struct {
	policies *policies
	hpas     *hpaCache
	own      client.Client
	recorder record.EventRecorder

	queue workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

// run shows until the context ends. Only who leads calls it.
func (s *policyStatuses) run(ctx context.Context) error {
	if s == nil || s.policies == nil {
		return nil
	}
	s.queue = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](100*time.Millisecond, time.Minute),
		workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "horizontalscalingpolicy"})
	stopPolicies, err := s.policies.each(func(before, after *v1alpha1.HorizontalScalingPolicy) {
		for _, p := range []*v1alpha1.HorizontalScalingPolicy{before, after} {
			if p != nil {
				// The others on its target too: which of them holds may have changed.
				s.enqueue(targetOf(p))
			}
		}
	})
	if err != nil {
		return err
	}
	defer stopPolicies()
	stopHPAs, err := s.hpas.watch(s.enqueue)
	if err != nil {
		return err
	}
	defer stopHPAs()
	var working sync.WaitGroup
	working.Go(func() {
		for s.next(ctx) {
		}
	})
	<-ctx.Done()
	s.queue.ShutDown()
	working.Wait()
	return nil
}

// enqueue has all policies for a target shown anew.
func (s *policyStatuses) enqueue(target object) {
	for _, p := range s.policies.on(target) {
		s.queue.Add(client.ObjectKeyFromObject(p))
	}
}

func (s *policyStatuses) next(ctx context.Context) bool {
	key, ended := s.queue.Get()
	if ended {
		return false
	}
	defer s.queue.Done(key)
	err := s.show(ctx, key)
	if err == nil {
		s.queue.Forget(key)
		return true
	}
	s.queue.AddRateLimited(key)
	// A conflict means that the cache is behind: the next try is with what is there now.
	if !apierrors.IsConflict(err) && ctx.Err() == nil {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write the status of a HorizontalScalingPolicy",
			slog.String("policy", key.String()), slog.Any("error", err))
	}
	return true
}

// show writes the status of one policy where it changed.
func (s *policyStatuses) show(ctx context.Context, key types.NamespacedName) error {
	policy := s.policies.get(key)
	if policy == nil || policy.DeletionTimestamp != nil {
		return nil
	}
	shown := policy.DeepCopy()
	shown.Status.ObservedGeneration = policy.Generation
	var told []metav1.Condition
	for _, c := range s.conditions(policy) {
		c.ObservedGeneration = policy.Generation
		before := meta.FindStatusCondition(policy.Status.Conditions, c.Type)
		meta.SetStatusCondition(&shown.Status.Conditions, c)
		if before == nil || before.Status != c.Status || before.Reason != c.Reason {
			told = append(told, c)
		}
	}
	if equality.Semantic.DeepEqual(policy.Status, shown.Status) {
		return nil
	}
	if err := s.own.Status().Update(ctx, shown, client.FieldOwner(fieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	on := kube.Reference(v1alpha1.GroupVersion.String(), decision.Unit{
		Kind: kindPolicy, Namespace: policy.Namespace, Name: policy.Name, UID: string(policy.UID),
	})
	for _, c := range told {
		kind := replicas.Warning
		if c.Status == metav1.ConditionTrue {
			kind = replicas.Normal
		}
		s.recorder.Event(on, kind, c.Reason, c.Message)
	}
	return nil
}

// conditions are Attached and Ready.
func (s *policyStatuses) conditions(p *v1alpha1.HorizontalScalingPolicy) []metav1.Condition {
	target := targetOf(p)
	attached := metav1.Condition{Type: v1alpha1.ConditionAttached, Status: metav1.ConditionFalse}
	switch on := s.policies.on(target); {
	case len(on) > 0 && on[0].Name != p.Name:
		attached.Reason = reasonOlderHolds
		attached.Message = fmt.Sprintf("HorizontalScalingPolicy %s is for the same HorizontalPodAutoscaler %s and is older, so that it holds: delete one of the two, or give this one another target",
			on[0].Name, target.Name)
	case s.hpas.get(target.Namespace, target.Name) == nil:
		attached.Reason = reasonNoTarget
		attached.Message = fmt.Sprintf("HorizontalPodAutoscaler %s does not exist in namespace %s: create it, or correct spec.targetRef.name",
			target.Name, target.Namespace)
	default:
		attached.Status, attached.Reason = metav1.ConditionTrue, reasonAttached
		attached.Message = "attached to HorizontalPodAutoscaler " + target.Name
	}
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reasonInForce,
		Message: "in force for HorizontalPodAutoscaler " + target.Name,
	}
	switch unread := s.policies.read(p).inForce(); {
	case unread != "":
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, reasonUnreadableSpec, unread
	case attached.Status != metav1.ConditionTrue:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, attached.Reason, attached.Message
	}
	return []metav1.Condition{attached, ready}
}
