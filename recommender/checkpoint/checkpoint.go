// Package checkpoint is the codec between what the recommender has learned of a
// container and version v3 of the status of a VerticalPodAutoscalerCheckpoint,
// as the upstream recommender reads and writes it. The format loses precision:
// weights become whole numbers, times whole seconds, and peaks of intervals that
// still run are left out. So an annotation beside it holds the same without loss,
// for as long as nobody else writes the status. The package does no I/O.
package checkpoint

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/recommender/histogram"
)

// Version is the format.
const Version = "v3"

// highestWeight is the greatest weight of a bucket.
const highestWeight = 10000

// heaviest bounds the total weight that is read. A sample weighs at most 2^100
// times its own weight, so more than this is nobody's history.
const heaviest = 1e100

// Schemes are how the two histograms are remembered.
type Schemes struct {
	CPU, Memory *histogram.Scheme
}

// Name is the object's name for a container of a VPA.
func Name(vpa, container string) string { return vpa + "-" + container }

// Encode makes the status as of now.
func Encode(l estimator.Learned, s Schemes, now time.Time) vpav1.VerticalPodAutoscalerCheckpointStatus {
	return vpav1.VerticalPodAutoscalerCheckpointStatus{
		LastUpdateTime:    metav1.NewTime(now),
		Version:           Version,
		CPUHistogram:      encode(l.CPU, s.CPU),
		MemoryHistogram:   encode(l.Memory, s.Memory),
		FirstSampleStart:  metav1.NewTime(l.First),
		LastSampleStart:   metav1.NewTime(l.Last),
		TotalSamplesCount: l.Samples,
	}
}

func encode(h histogram.Histogram, s *histogram.Scheme) vpav1.HistogramCheckpoint {
	return vpav1.HistogramCheckpoint{
		ReferenceTimestamp: metav1.NewTime(h.Reference),
		BucketWeights:      s.Save(h, highestWeight),
		TotalWeight:        h.Total,
	}
}

// Decode reads a status. One that no recommender can have written is an error.
func Decode(c *vpav1.VerticalPodAutoscalerCheckpointStatus, s Schemes) (estimator.Learned, error) {
	var l estimator.Learned
	if c.Version != Version {
		return l, fmt.Errorf("the checkpoint has version %q, this build reads %s", c.Version, Version)
	}
	if c.TotalSamplesCount < 0 {
		return l, fmt.Errorf("the checkpoint has %d samples", c.TotalSamplesCount)
	}
	var err error
	if l.CPU, err = decode(&c.CPUHistogram, s.CPU); err != nil {
		return estimator.Learned{}, fmt.Errorf("CPU: %w", err)
	}
	if l.Memory, err = decode(&c.MemoryHistogram, s.Memory); err != nil {
		return estimator.Learned{}, fmt.Errorf("memory: %w", err)
	}
	l.First, l.Last, l.Samples = utc(c.FirstSampleStart.Time), utc(c.LastSampleStart.Time), c.TotalSamplesCount
	return l, nil
}

func decode(c *vpav1.HistogramCheckpoint, s *histogram.Scheme) (histogram.Histogram, error) {
	var h histogram.Histogram
	if !weighs(c.TotalWeight) {
		return h, fmt.Errorf("a total weight of %v", c.TotalWeight)
	}
	for bucket := range c.BucketWeights {
		if bucket < 0 || bucket >= s.Buckets() {
			return h, fmt.Errorf("bucket %d is not one of %d", bucket, s.Buckets())
		}
	}
	s.Load(&h, c.BucketWeights, c.TotalWeight, utc(c.ReferenceTimestamp.Time))
	return h, nil
}

// weighs tells whether samples can weigh so much.
func weighs(weight float64) bool { return weight >= 0 && weight <= heaviest }

// utc drops the zone, so that the time is the same after JSON.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
