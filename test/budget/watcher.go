package budget

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// Report is what a Watcher saw.
type Report struct {
	Evictions  int         `json:"evictions"`
	Violations []Violation `json:"violations"`
}

// Watcher feeds a judge from a cluster. Its methods may be called from several goroutines.
type Watcher struct {
	factory informers.SharedInformerFactory
	cancel  context.CancelFunc

	mu    sync.Mutex
	judge *Judge
}

// Watch begins to watch every namespace of a cluster, and returns when it knows what is there. What happens from then
// on is judged, until Stop or the end of ctx.
func Watch(ctx context.Context, config *rest.Config) (*Watcher, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the budget watcher's client: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{factory: informers.NewSharedInformerFactory(client, 0), cancel: cancel, judge: NewJudge()}
	// In this order: what a pod is judged by is known before the pod.
	for _, feed := range []struct {
		informer      cache.SharedIndexInformer
		changed, gone func(object any)
	}{
		{w.factory.Apps().V1().Deployments().Informer(), w.controller, w.controllerGone},
		{w.factory.Apps().V1().StatefulSets().Informer(), w.controller, w.controllerGone},
		{w.factory.Apps().V1().ReplicaSets().Informer(), w.controller, w.controllerGone},
		{w.factory.Policy().V1().PodDisruptionBudgets().Informer(), w.budget, w.budgetGone},
		{w.factory.Core().V1().Pods().Informer(), w.pod, w.podGone},
	} {
		registration, err := feed.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    feed.changed,
			UpdateFunc: func(_, object any) { feed.changed(object) },
			DeleteFunc: func(object any) {
				if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = last.Obj
				}
				feed.gone(object)
			},
		})
		if err == nil {
			w.factory.Start(ctx.Done())
			if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
				err = errors.Join(errors.New("it did not end"), context.Cause(ctx))
			}
		}
		if err != nil {
			w.Stop()
			return nil, fmt.Errorf("reading what budgets are judged by: %w", err)
		}
	}
	return w, nil
}

// Stop ends the watch. The report stays.
func (w *Watcher) Stop() {
	w.cancel()
	w.factory.Shutdown()
}

// Report returns what was seen up to now. An eviction is in it when its watch event has arrived, which is a moment
// after the eviction.
func (w *Watcher) Report() Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Report{Evictions: w.judge.Evictions(), Violations: w.judge.Violations()}
}

func (w *Watcher) controller(object any) {
	c := Controller{}
	switch o := object.(type) {
	case *appsv1.Deployment:
		c.UID, c.Replicas = o.UID, ptr.Deref(o.Spec.Replicas, 1)
	case *appsv1.StatefulSet:
		c.UID, c.Replicas = o.UID, ptr.Deref(o.Spec.Replicas, 1)
	case *appsv1.ReplicaSet:
		c.UID, c.Replicas = o.UID, ptr.Deref(o.Spec.Replicas, 1)
		if owner := metav1.GetControllerOf(o); owner != nil {
			c.Parent = owner.UID
		}
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge.Controller(time.Now(), c)
}

func (w *Watcher) controllerGone(object any) {
	o, ok := object.(metav1.Object)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge.ControllerGone(o.GetUID())
}

func (w *Watcher) budget(object any) {
	if b, ok := object.(*policyv1.PodDisruptionBudget); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.judge.Budget(b)
	}
}

func (w *Watcher) budgetGone(object any) {
	if b, ok := object.(*policyv1.PodDisruptionBudget); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.judge.BudgetGone(b)
	}
}

func (w *Watcher) pod(object any) {
	if pod, ok := object.(*corev1.Pod); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.judge.Pod(time.Now(), pod)
	}
}

func (w *Watcher) podGone(object any) {
	if pod, ok := object.(*corev1.Pod); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.judge.PodGone(time.Now(), pod)
	}
}
