package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// hpaWatch sees every write of an HPA's status. While usage changes all the time,
// an evaluation is such a write, whoever makes it.
type hpaWatch struct {
	client *kubernetes.Clientset
	events watch.Interface

	mu sync.Mutex
	// seen are the objects written since the last reset, and last when each was.
	seen map[types.UID]bool
	last map[types.UID]time.Time
	// whole is closed when as many as are wanted were seen, at completed.
	want      int
	whole     chan struct{}
	completed time.Time
	// intervals are those, in seconds, that ended while they were collected.
	collecting bool
	intervals  []float64
}

// watchHPAs begins with what is written from now on.
func watchHPAs(ctx context.Context, config *rest.Config) (*hpaWatch, error) {
	client, err := kube.NewClient(config)
	if err != nil {
		return nil, err
	}
	hpas := client.AutoscalingV2().HorizontalPodAutoscalers(metav1.NamespaceAll)
	list, err := hpas.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	w := &hpaWatch{client: client, last: map[types.UID]time.Time{}}
	if w.events, err = hpas.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion}); err != nil {
		return nil, fmt.Errorf("watch HorizontalPodAutoscalers: %w", err)
	}
	go func() {
		for e := range w.events.ResultChan() {
			if hpa, ok := e.Object.(*autoscalingv2.HorizontalPodAutoscaler); ok && e.Type == watch.Modified {
				w.written(hpa.UID, time.Now())
			}
		}
	}()
	return w, nil
}

func (w *hpaWatch) close() { w.events.Stop() }

func (w *hpaWatch) written(uid types.UID, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, known := w.last[uid]; known && w.collecting {
		w.intervals = append(w.intervals, at.Sub(before).Seconds())
	}
	w.last[uid] = at
	if w.whole == nil || w.seen[uid] {
		return
	}
	if w.seen[uid] = true; len(w.seen) == w.want {
		w.completed = at
		close(w.whole)
		w.whole = nil
	}
}

// expect begins a pass: so many objects are to be written.
func (w *hpaWatch) expect(objects int) (whole <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.want, w.whole = map[types.UID]bool{}, objects, make(chan struct{})
	return w.whole
}

// await waits for the end of a pass and gives when it was.
func (w *hpaWatch) await(ctx context.Context, whole <-chan struct{}, limit time.Duration) (time.Time, error) {
	select {
	case <-whole:
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	case <-time.After(limit):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) < w.want {
		return time.Time{}, fmt.Errorf("%d of %d HPAs were evaluated within %s", len(w.seen), w.want, limit)
	}
	return w.completed, nil
}

// collect gives the time between two evaluations of one object, in seconds: the
// median, and the longest, of those that end within a while. One that is still
// going on then and is longer than all others is the longest.
func (w *hpaWatch) collect(ctx context.Context, during func(context.Context) error) (middle, longest float64, err error) {
	w.mu.Lock()
	w.collecting, w.intervals = true, nil
	w.mu.Unlock()
	err = during(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.collecting = false
	if err != nil {
		return 0, 0, err
	}
	if len(w.intervals) == 0 {
		return 0, 0, errors.New("no HPA was evaluated twice")
	}
	for _, s := range w.intervals {
		longest = max(longest, s)
	}
	for _, at := range w.last {
		longest = max(longest, time.Since(at).Seconds())
	}
	return median(w.intervals), longest, nil
}

// settled fails unless every HPA works and holds the count that it was loaded with:
// figures of a controller that does nothing are worth nothing.
func (w *hpaWatch) settled(ctx context.Context, objects int) error {
	list, err := w.client.AutoscalingV2().HorizontalPodAutoscalers(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	if len(list.Items) != objects {
		return fmt.Errorf("%d HPAs instead of %d", len(list.Items), objects)
	}
	for i := range list.Items {
		hpa := &list.Items[i]
		if hpa.Status.DesiredReplicas != loadPods {
			return fmt.Errorf("%s/%s wants %d replicas, was loaded with %d", hpa.Namespace, hpa.Name, hpa.Status.DesiredReplicas, loadPods)
		}
		for _, c := range hpa.Status.Conditions {
			if c.Type == autoscalingv2.ScalingActive && c.Status != corev1.ConditionTrue {
				return fmt.Errorf("%s/%s: %s: %s", hpa.Namespace, hpa.Name, c.Reason, c.Message)
			}
		}
	}
	return nil
}
