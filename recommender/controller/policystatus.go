package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// Reasons of the conditions of a VerticalScalingPolicy.
const (
	reasonAttached       = "Attached"
	reasonNoTarget       = "TargetNotFound"
	reasonOlderHolds     = "OlderPolicyHolds"
	reasonInForce        = "InForce"
	reasonUnreadableSpec = "WindowNotReadable"
)

// policyStatuses shows on each VerticalScalingPolicy whether it is attached and in
// force. It writes a status where it changes, and tells an event then. A policy is
// shown by the recommender that serves its object, and by the one named default
// where there is no such object, so that of several recommenders one writes.
type policyStatuses struct {
	policies *policies.Cache
	vpas     *vpaCache
	// only is the one namespace that is served, empty for all.
	only     string
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
		workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "verticalscalingpolicy"})
	stop, err := s.policies.Each(func(before, after *policies.Policy) {
		for _, p := range []*policies.Policy{before, after} {
			if p != nil {
				// The others on its object too: which of them holds may have changed.
				s.enqueue(p.VPA())
			}
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	registration, err := s.vpas.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: s.enqueueObject, DeleteFunc: s.enqueueObject,
		UpdateFunc: func(before, after any) {
			// Another recommender may serve it now.
			was, okBefore := before.(*vpav1.VerticalPodAutoscaler)
			is, okAfter := after.(*vpav1.VerticalPodAutoscaler)
			if okBefore && okAfter && s.vpas.ours(was) != s.vpas.ours(is) {
				s.enqueueObject(is)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch VerticalPodAutoscalers: %w", err)
	}
	defer func() { _ = s.vpas.informer.RemoveEventHandler(registration) }()
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

// enqueueObject has all policies for an object shown anew.
func (s *policyStatuses) enqueueObject(o any) {
	if key, err := cache.DeletionHandlingObjectToName(o); err == nil {
		s.enqueue(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
	}
}

func (s *policyStatuses) enqueue(vpa types.NamespacedName) {
	for _, p := range s.policies.On(vpa) {
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
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write the status of a VerticalScalingPolicy",
			slog.String("policy", key.String()), slog.Any("error", err))
	}
	return true
}

// show writes the status of one policy where it changed.
func (s *policyStatuses) show(ctx context.Context, key types.NamespacedName) error {
	p := s.policies.Get(key)
	if p == nil || p.DeletionTimestamp != nil || !s.serves(p) {
		return nil
	}
	shown := p.VerticalScalingPolicy.DeepCopy()
	shown.Status.ObservedGeneration = p.Generation
	var told []metav1.Condition
	for _, c := range s.conditions(p) {
		c.ObservedGeneration = p.Generation
		before := meta.FindStatusCondition(p.Status.Conditions, c.Type)
		meta.SetStatusCondition(&shown.Status.Conditions, c)
		if before == nil || before.Status != c.Status || before.Reason != c.Reason {
			told = append(told, c)
		}
	}
	if equality.Semantic.DeepEqual(p.Status, shown.Status) {
		return nil
	}
	if err := s.own.Status().Update(ctx, shown, client.FieldOwner(fieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	on := kube.Reference(v1alpha1.GroupVersion.String(), decision.Unit{
		Kind: verticalpolicy.Kind, Namespace: p.Namespace, Name: p.Name, UID: string(p.UID),
	})
	for _, c := range told {
		kind := estimator.Warning
		if c.Status == metav1.ConditionTrue {
			kind = estimator.Normal
		}
		s.recorder.Event(on, kind, c.Reason, c.Message)
	}
	return nil
}

// serves tells whether this recommender is the one to show the policy.
func (s *policyStatuses) serves(p *policies.Policy) bool {
	if s.only != "" && p.Namespace != s.only {
		return false
	}
	if vpa := s.vpas.any(p.Namespace, p.Spec.TargetRef.Name); vpa != nil {
		return s.vpas.ours(vpa)
	}
	return s.vpas.name == defaultName && !slices.Contains(s.vpas.ignored, p.Namespace)
}

// conditions are Attached and Ready.
func (s *policyStatuses) conditions(p *policies.Policy) []metav1.Condition {
	target := p.VPA()
	attached := metav1.Condition{Type: v1alpha1.ConditionAttached, Status: metav1.ConditionFalse}
	switch on := s.policies.On(target); {
	case len(on) > 0 && on[0].Name != p.Name:
		attached.Reason = reasonOlderHolds
		attached.Message = fmt.Sprintf("VerticalScalingPolicy %s is for the same VerticalPodAutoscaler %s and is older, so that it holds: delete one of the two, or give this one another target",
			on[0].Name, target.Name)
	case s.vpas.any(target.Namespace, target.Name) == nil:
		attached.Reason = reasonNoTarget
		attached.Message = fmt.Sprintf("VerticalPodAutoscaler %s does not exist in namespace %s: create it, or correct spec.targetRef.name",
			target.Name, target.Namespace)
	default:
		attached.Status, attached.Reason = metav1.ConditionTrue, reasonAttached
		attached.Message = "attached to VerticalPodAutoscaler " + target.Name
	}
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reasonInForce,
		Message: "in force for VerticalPodAutoscaler " + target.Name,
	}
	switch {
	case p.Fault() != nil:
		ready.Status, ready.Reason = metav1.ConditionFalse, reasonUnreadableSpec
		ready.Message = fmt.Sprintf("the window never opens until the policy is corrected, all else is as Attached says: %v", p.Fault())
	case attached.Status != metav1.ConditionTrue:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, attached.Reason, attached.Message
	}
	return []metav1.Condition{attached, ready}
}
