package controller

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// boundsWriter writes, at a bounded rate, the statuses of which only bounds moved:
// these follow confidence and move in each turn of each object. What is written is
// what was decided last.
type boundsWriter struct {
	status *statusWriter
	vpas   *vpaCache
	queue  *paced[types.NamespacedName]

	mu     sync.Mutex
	latest map[types.NamespacedName]estimator.Decision
}

func newBoundsWriter(status *statusWriter, vpas *vpaCache, perSecond float64) *boundsWriter {
	w := &boundsWriter{status: status, vpas: vpas, latest: map[types.NamespacedName]estimator.Decision{}}
	w.queue = newPaced(pacedConfig[types.NamespacedName]{write: w.write, perSecond: perSecond, workers: 2})
	return w
}

// later queues a decision's status in the place of an earlier one's.
func (w *boundsWriter) later(d estimator.Decision) {
	key := keyOf(d.Unit)
	// Of the decision only this is shown in a status.
	slim := estimator.Decision{Status: d.Status}
	slim.Unit, slim.At, slim.To, slim.Conditions = d.Unit, d.At, d.To, d.Conditions
	w.mu.Lock()
	w.latest[key] = slim
	w.mu.Unlock()
	w.queue.add(key, false)
}

// done drops what waits: the status was written, or the object is gone.
func (w *boundsWriter) done(unit decision.Unit) {
	key := keyOf(unit)
	w.queue.withdraw(key)
	w.mu.Lock()
	delete(w.latest, key)
	w.mu.Unlock()
}

func (w *boundsWriter) write(ctx context.Context, key types.NamespacedName) error {
	w.mu.Lock()
	d, waits := w.latest[key]
	delete(w.latest, key)
	w.mu.Unlock()
	vpa := w.vpas.get(key.Namespace, key.Name)
	if !waits || vpa == nil || string(vpa.UID) != d.Unit.UID {
		return nil
	}
	// Once only: on top of a newer object it might undo what was decided since.
	err := w.status.try(ctx, &visit{vpa: vpa}, d)
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// onlyBounds tells whether nothing else in the status would change.
func onlyBounds(v *visit, d estimator.Decision) bool {
	status := &v.vpa.Status
	return status.ObservedGeneration != nil && *status.ObservedGeneration == d.Status.ObservedGeneration &&
		equality.Semantic.DeepEqual(status.Conditions, newConditions(status.Conditions, d))
}
