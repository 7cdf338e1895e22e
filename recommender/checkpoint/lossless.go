package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/recommender/histogram"
)

// Annotation is where a checkpoint has what its status has no place for.
const Annotation = "autoscaling.quartet.dev/history"

// TargetAnnotation is where a checkpoint says whose pods it was learned from, as
// apiVersion/kind/name: so that another VPA of the same target finds it.
const TargetAnnotation = "autoscaling.quartet.dev/target"

// OrphanedAnnotation is since when the VPA of a checkpoint was seen to be gone, in
// RFC 3339.
const OrphanedAnnotation = "autoscaling.quartet.dev/orphaned"

// largest bounds the annotation, in bytes: an object takes 256 KiB of them.
const largest = 200 << 10

// History is all that is known of one container, without loss.
type History struct {
	Learned estimator.Learned `json:"learned,omitzero"`
	// Running are the intervals of its pods, by pod.
	Running map[string]estimator.Window `json:"running,omitempty"`
}

// attached is the annotation's content.
type attached struct {
	// Status is the hash of the status that the history was written with.
	Status string `json:"status"`
	History
}

// Attach makes the annotation for the status. It is empty where the history is
// too large for one: then the status is all there is.
func Attach(status *vpav1.VerticalPodAutoscalerCheckpointStatus, h History) (string, error) {
	sum, err := hash(status)
	if err != nil {
		return "", err
	}
	content, err := json.Marshal(attached{Status: sum, History: h})
	if err != nil {
		return "", fmt.Errorf("encode the history: %w", err)
	}
	text := string(content)
	if len(content) > packAbove {
		if text, err = pack(content); err != nil {
			return "", err
		}
	}
	if len(text) > largest {
		return "", nil
	}
	return text, nil
}

// Detach reads the annotation. It is false where there is none, or where the
// status was written by another since.
func Detach(status *vpav1.VerticalPodAutoscalerCheckpointStatus, annotation string, s Schemes) (History, bool) {
	var a attached
	if annotation == "" {
		return History{}, false
	}
	content, err := unpack(annotation)
	if err != nil || json.Unmarshal(content, &a) != nil {
		return History{}, false
	}
	sum, err := hash(status)
	if err != nil || sum != a.Status || !plausible(a.Learned.CPU, s.CPU) || !plausible(a.Learned.Memory, s.Memory) ||
		a.Learned.Samples < 0 || a.Learned.CPUHalfLife < 0 || a.Learned.MemoryHalfLife < 0 {
		return History{}, false
	}
	for _, w := range a.Running {
		if w.Peak < 0 || w.OOMPeak < 0 {
			return History{}, false
		}
	}
	return a.History, true
}

// hash is the same before and after the status was in the API server.
func hash(status *vpav1.VerticalPodAutoscalerCheckpointStatus) (string, error) {
	content, err := json.Marshal(status)
	if err != nil {
		return "", fmt.Errorf("encode the status: %w", err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8]), nil
}

func plausible(h histogram.Histogram, s *histogram.Scheme) bool {
	if h.First < 0 || h.First+len(h.Weights) > s.Buckets() || !weighs(h.Total) {
		return false
	}
	for _, weight := range h.Weights {
		if !weighs(weight) {
			return false
		}
	}
	return true
}
