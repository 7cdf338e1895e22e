package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// resizedAnnotation marks pods that were resized in place, by upstream's name.
const resizedAnnotation = "vpaInPlaceUpdated"

// nodeCapacity is the cause that the API server gives for a resize that the pod's
// node can never have room for.
const nodeCapacity metav1.CauseType = "NodeCapacity"

// resize asks for the changes of one pod, and marks it. It does not try again by
// itself: what was said is shown, and an eviction or the next pass follows.
func (a *actuator) resize(ctx context.Context, namespace string, c eviction.Candidate) error {
	if err := a.resizeOnly(ctx, namespace, c); err != nil {
		return err
	}
	// Without the mark the resize stands all the same.
	if err := a.mark(ctx, namespace, c); err != nil {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelWarn, "Could not mark a pod that was resized",
			slog.String("pod", namespace+"/"+c.Pod), slog.Any("error", err))
	}
	return nil
}

func (a *actuator) resizeOnly(ctx context.Context, namespace string, c eviction.Candidate) error {
	body, err := resize.Patch(c.UID, c.Resize)
	if err != nil {
		return err
	}
	return a.patch(ctx, namespace, c.Pod, body, "resize")
}

// mark annotates the pod.
func (a *actuator) mark(ctx context.Context, namespace string, c eviction.Candidate) error {
	metadata := map[string]any{"annotations": map[string]string{resizedAnnotation: "true"}}
	if c.UID != "" {
		metadata["uid"] = c.UID
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("write the patch of annotations: %w", err)
	}
	return a.patch(ctx, namespace, c.Pod, body)
}

func (a *actuator) patch(ctx context.Context, namespace, pod string, body []byte, subresource ...string) error {
	return a.core.Patch(types.StrategicMergePatchType).Namespace(namespace).Resource("pods").Name(pod).SubResource(subresource...).
		MaxRetries(0).Body(body).Do(ctx).Error()
}

// neverFits tells whether the API server refused a resize because the pod's node
// can never have room for it.
func neverFits(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonForbidden || status.Status().Details == nil {
		return false
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == nodeCapacity {
			return true
		}
	}
	return false
}

// refusals are the resizes that the API server refused for good in each object's
// last turn, with what was recommended, by the pod's UID. Decisions remember them
// from the next turn on. The zero value is ready to use.
type refusals struct {
	mu  sync.Mutex
	all map[decision.Unit]map[string]eviction.Targets
}

func (r *refusals) put(unit decision.Unit, c eviction.Candidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[decision.Unit]map[string]eviction.Targets{}
	}
	if r.all[unit] == nil {
		r.all[unit] = map[string]eviction.Targets{}
	}
	r.all[unit][c.UID] = c.Targets
}

// take hands over what there is of an object, once.
func (r *refusals) take(unit decision.Unit) map[string]eviction.Targets {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.all[unit]
	delete(r.all, unit)
	return out
}
