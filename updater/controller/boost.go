package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// keepBoosts takes over the annotations of startup boosts, and tells whether there
// are any.
func keepBoosts(from, to *corev1.Pod) bool {
	kept := false
	for key, value := range from.Annotations {
		if !strings.HasPrefix(key, eviction.BoostAnnotation) {
			continue
		}
		if to.Annotations == nil {
			to.Annotations = map[string]string{}
		}
		to.Annotations[key], kept = value, true
	}
	return kept
}

// unboostAll ends startup boosts. The error is the rate limiter's.
func (a *actuator) unboostAll(ctx context.Context, u *update) error {
	for _, b := range u.d.Unboosts {
		if err := a.resizing.Wait(ctx); err != nil {
			return err
		}
		r := eviction.Result{Pod: b.Name, Resize: true}
		if err := a.unboost(ctx, u.d.Unit.Namespace, b); err != nil {
			r.Error = words(err)
			u.refused = append(u.refused, fmt.Sprintf("end the startup boost of %s: %s", b.Name, r.Error))
		}
		u.v.results = append(u.v.results, r)
	}
	return nil
}

// unboost resizes the pod, and takes the annotations of the boosts that ended off:
// in this order, so that what is lost between the two is tried again.
func (a *actuator) unboost(ctx context.Context, namespace string, b eviction.Unboost) error {
	if len(b.Resize) > 0 {
		if err := a.resizeOnly(ctx, namespace, eviction.Candidate{Pod: b.Name, UID: b.UID, Resize: b.Resize}); err != nil {
			return err
		}
	}
	annotations := map[string]any{resizedAnnotation: "true"}
	for _, container := range b.Containers {
		annotations[eviction.BoostAnnotation+container] = nil
	}
	metadata := map[string]any{"annotations": annotations}
	if b.UID != "" {
		metadata["uid"] = b.UID
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("write the patch of annotations: %w", err)
	}
	return a.patch(ctx, namespace, b.Name, body)
}
