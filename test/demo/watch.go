package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	decisions "github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/reaction"
)

// keptDecisions is how many of the last scale decisions are shown.
const keptDecisions = 8

// watcher sees what happens to the workers from outside: it knows the cluster's
// API and nothing of the controllers.
type watcher struct {
	client kubernetes.Interface
	meter  *reaction.Meter

	mu        sync.Mutex
	replicas  int
	lowest    int
	peak      int
	last      decisions.Decision
	decisions []decisions.Decision
}

func newWatcher(cluster *rest.Config, meter *reaction.Meter) (*watcher, error) {
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("make a client for the watcher: %w", err)
	}
	return &watcher{client: client, meter: meter, replicas: -1}, nil
}

// run follows the workload's scale and the controller's decisions until the
// context ends.
func (w *watcher) run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(w.client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, workload).String()
		}))
	_, err := factory.Apps().V1().Deployments().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    w.scaled,
		UpdateFunc: func(_, o any) { w.scaled(o) },
	})
	if err != nil {
		return fmt.Errorf("follow the workload: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			w.ask(ctx)
		}
	}
}

func (w *watcher) scaled(o any) {
	d, ok := o.(*appsv1.Deployment)
	if !ok || d.Spec.Replicas == nil {
		return
	}
	now, to := time.Now(), int(*d.Spec.Replicas)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.replicas == to {
		return
	}
	if w.replicas < 0 {
		w.lowest = to
	} else {
		w.meter.Scaled(w.replicas, to, now)
	}
	w.replicas, w.lowest, w.peak = to, min(w.lowest, to), max(w.peak, to)
}

// ask fetches the last decision from the controller. A controller that does not
// answer leaves the one before.
func (w *watcher) ask(ctx context.Context) {
	group := decisions.GroupVersion("hpa")
	raw, err := w.client.Discovery().RESTClient().Get().
		AbsPath("/apis", group.Group, group.Version, "namespaces", namespace, decisions.Resource, workload).
		Do(ctx).Raw()
	if err != nil {
		return
	}
	var d decisions.Decision
	if err := json.Unmarshal(raw, &d); err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.At.Equal(&w.last.At) {
		return
	}
	w.last = d
	if d.From != d.To {
		w.decisions = append(w.decisions, d)
		w.decisions = w.decisions[max(0, len(w.decisions)-keptDecisions):]
	}
}

// seen is what the watcher knows at one moment.
type seen struct {
	replicas  replicaReport
	last      decisions.Decision
	decisions []decisions.Decision
}

func (w *watcher) seen() seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return seen{
		replicas:  replicaReport{Min: w.lowest, Peak: w.peak, Final: w.replicas},
		last:      w.last,
		decisions: slices.Clone(w.decisions),
	}
}
