package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
)

// cleaner removes checkpoints whose VPA was gone for a grace time. Since when it is
// gone is noted on the checkpoint, so that a restart does not begin it anew.
type cleaner struct {
	checkpoints *checkpoints
	namespace   string
	grace       time.Duration
	// limit bounds the writes.
	limit *rate.Limiter
	// gone tells whether there is no such VPA.
	gone func(namespace, vpa string) bool
}

// clean looks at all checkpoints, and tells how many wait for their grace time to
// pass.
func (c *cleaner) clean(ctx context.Context, now time.Time) (orphans int, err error) {
	type work struct {
		object *vpav1.VerticalPodAutoscalerCheckpoint
		do     func(context.Context, *vpav1.VerticalPodAutoscalerCheckpoint) error
	}
	var todo []work
	err = c.checkpoints.each(ctx, c.namespace, func(o *vpav1.VerticalPodAutoscalerCheckpoint) {
		noted, marked := o.Annotations[checkpoint.OrphanedAnnotation]
		since, parseErr := time.Parse(time.RFC3339, noted)
		var do func(context.Context, *vpav1.VerticalPodAutoscalerCheckpoint) error
		switch gone := c.gone(o.Namespace, o.Spec.VPAObjectName); {
		case !gone && marked:
			do = c.mark(nil)
		case !gone:
			return
		case !marked || parseErr != nil || since.After(now):
			orphans++
			do = c.mark(now.UTC().Format(time.RFC3339))
		case now.Sub(since) >= c.grace:
			do = c.remove
		default:
			orphans++
			return
		}
		// Of the rest of the object nothing is needed any more.
		slim := &vpav1.VerticalPodAutoscalerCheckpoint{ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion}}
		todo = append(todo, work{slim, do})
	})
	errs := []error{err}
	for _, w := range todo {
		if err := c.limit.Wait(ctx); err != nil {
			return orphans, errors.Join(append(errs, err)...)
		}
		if err := w.do(ctx, w.object); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("clean up checkpoint %s/%s: %w", w.object.Namespace, w.object.Name, err))
		}
	}
	return orphans, errors.Join(errs...)
}

// mark notes the time since when there is no VPA, or with nil takes the note away.
func (c *cleaner) mark(value any) func(context.Context, *vpav1.VerticalPodAutoscalerCheckpoint) error {
	return func(ctx context.Context, o *vpav1.VerticalPodAutoscalerCheckpoint) error {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"annotations": map[string]any{checkpoint.OrphanedAnnotation: value},
		}})
		if err != nil {
			return err
		}
		_, err = c.checkpoints.client.VerticalPodAutoscalerCheckpoints(o.Namespace).Patch(ctx, o.Name, types.MergePatchType, patch,
			metav1.PatchOptions{FieldManager: fieldManager})
		return err
	}
}

// remove deletes the object unless somebody wrote it since it was looked at.
func (c *cleaner) remove(ctx context.Context, o *vpav1.VerticalPodAutoscalerCheckpoint) error {
	uid, version := o.UID, o.ResourceVersion
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}
	return c.checkpoints.client.VerticalPodAutoscalerCheckpoints(o.Namespace).Delete(ctx, o.Name, options)
}
