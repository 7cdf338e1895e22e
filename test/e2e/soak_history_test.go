package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/test/crash"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

const (
	// learnedSamples is how many samples the history has that learned makes.
	learnedSamples = 2000
	learnedFor     = 48 * time.Hour
)

// learned makes the workload's checkpoint as upstream's recommender would have
// left it: two days of about 0.5 CPUs and 200 MB.
func (s *stage) learned() *vpav1.VerticalPodAutoscalerCheckpoint {
	s.t.Helper()
	// Some time ago: times of checkpoints are in whole seconds, and the next one is to
	// show.
	now := metav1.NewTime(time.Now().Add(-10 * time.Second).Truncate(time.Second))
	histogram := func(bucket int, weight float64) vpav1.HistogramCheckpoint {
		return vpav1.HistogramCheckpoint{ReferenceTimestamp: now, BucketWeights: map[int]uint32{bucket: 10000}, TotalWeight: weight}
	}
	c, err := s.vpas().AutoscalingV1().VerticalPodAutoscalerCheckpoints(s.namespace).Create(s.t.Context(), &vpav1.VerticalPodAutoscalerCheckpoint{
		ObjectMeta: s.meta(checkpoint.Name(workload, "worker")),
		Spec:       vpav1.VerticalPodAutoscalerCheckpointSpec{VPAObjectName: workload, ContainerName: "worker"},
		Status: vpav1.VerticalPodAutoscalerCheckpointStatus{
			Version: checkpoint.Version, LastUpdateTime: now,
			FirstSampleStart: metav1.NewTime(now.Add(-learnedFor)), LastSampleStart: now, TotalSamplesCount: learnedSamples,
			// Few peaks of memory, so that one kill counts.
			CPUHistogram: histogram(25, 200), MemoryHistogram: histogram(14, 4),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// createLearned makes a workload of one pod with such a history, and its VPA.
func (s *stage) createLearned() *vpav1.VerticalPodAutoscalerCheckpoint {
	s.t.Helper()
	history := s.learned()
	d := s.deployment(1)
	d.Spec.Template.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory] = resource.MustParse("512Mi")
	s.create(d)
	_, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Create(s.t.Context(), s.vpa(vpav1.UpdateModeOff), metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return history
}

// history is the checkpoint as it is, and the target as it is recommended.
func (s *stage) history(ctx context.Context) (vpav1.VerticalPodAutoscalerCheckpointStatus, corev1.ResourceList, error) {
	client := s.vpas().AutoscalingV1()
	c, err := client.VerticalPodAutoscalerCheckpoints(s.namespace).Get(ctx, checkpoint.Name(workload, "worker"), metav1.GetOptions{})
	if err != nil {
		return vpav1.VerticalPodAutoscalerCheckpointStatus{}, nil, err
	}
	v, err := client.VerticalPodAutoscalers(s.namespace).Get(ctx, workload, metav1.GetOptions{})
	if err != nil {
		return c.Status, nil, err
	}
	if v.Status.Recommendation == nil || len(v.Status.Recommendation.ContainerRecommendations) != 1 {
		return c.Status, nil, fmt.Errorf("no recommendation, conditions %v", v.Status.Conditions)
	}
	return c.Status, v.Status.Recommendation.ContainerRecommendations[0].Target, nil
}

// playHistory lets a container with a history be killed for its memory: it is
// recommended more, once, and all of that is kept.
func playHistory(s *stage) crash.Outcome {
	s.t.Helper()
	left := s.createLearned()
	pod := s.awaitRunning(workload, 1)[0]
	var before corev1.ResourceList
	eventually(s.t, 60*time.Second, func() (err error) {
		_, before, err = s.history(s.t.Context())
		return err
	})
	if err := s.lab.OOMKill(s.t.Context(), s.namespace, pod.Name, "worker"); err != nil {
		s.t.Fatal(err)
	}
	var kept vpav1.VerticalPodAutoscalerCheckpointStatus
	var target corev1.ResourceList
	eventually(s.t, 60*time.Second, func() (err error) {
		kept, target, err = s.history(s.t.Context())
		switch {
		case err != nil:
			return err
		case target.Memory().Cmp(resource.MustParse("512Mi")) <= 0:
			return fmt.Errorf("the target after the kill is %s", target.Memory())
		case !left.Status.LastUpdateTime.Before(&kept.LastUpdateTime):
			return errors.New("the kill is in no checkpoint")
		}
		return nil
	})
	return crash.Outcome{
		"target by history":    before.Cpu().String() + " " + before.Memory().String(),
		"target with the kill": target.Cpu().String() + " " + target.Memory().String(),
		"history kept":         fmt.Sprint(backwards(left.Status, kept)),
	}
}

// backwards tells what of a history was lost.
func backwards(was, is vpav1.VerticalPodAutoscalerCheckpointStatus) error {
	switch {
	case is.TotalSamplesCount < was.TotalSamplesCount:
		return fmt.Errorf("%d samples, there were %d", is.TotalSamplesCount, was.TotalSamplesCount)
	case !is.FirstSampleStart.Equal(&was.FirstSampleStart):
		return fmt.Errorf("it begins at %v, it began at %v", is.FirstSampleStart, was.FirstSampleStart)
	case is.LastSampleStart.Before(&was.LastSampleStart):
		return fmt.Errorf("it ends at %v, it ended at %v", is.LastSampleStart, was.LastSampleStart)
	}
	return nil
}

// witnessHistory makes a workload that goes on to be learned from in all rounds:
// its history only grows, and its recommendation stays.
func witnessHistory(s *stage) []crash.Invariant {
	s.t.Helper()
	had := s.createLearned().Status
	err := s.lab.SetUsage(s.t.Context(), lab.Usage{
		Namespace: s.namespace, Selector: labels.SelectorFromSet(labels.Set{"app": workload}),
		CPU: resource.MustParse("500m"), Memory: resource.MustParse("200Mi"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return []crash.Invariant{{Name: "history is kept", Check: func(ctx context.Context) error {
		return settled(ctx, func() error {
			has, _, err := s.history(ctx)
			if err == nil {
				err = backwards(had, has)
			}
			if err == nil {
				had = has
			}
			return err
		})
	}}}
}
