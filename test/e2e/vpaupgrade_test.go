package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/util/retry"

	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// TestUpgradeFromUpstreamAndBack: upstream's recommender learns and writes its
// checkpoints; ours waits until that stops, goes on from them with the same
// recommendation, and adds to them; then upstream's goes on from what ours wrote.
func TestUpgradeFromUpstreamAndBack(t *testing.T) {
	t.Parallel()
	s := newVPALab(t, "upgrade")
	s.create(s.deployment(1))
	s.use(s.running(1), 250, 700<<20)
	s.create(s.vpa(vpav1.UpdateModeOff))

	before := s.upstreamLearns(0)
	samples := s.checkpoint().Status.TotalSamplesCount

	release := s.install(map[string]map[string]any{"vpaRecommender": {
		"extraArgs": []any{"--recommender-interval=1s", "--checkpoints-interval=2s"},
	}})
	process := release.Process("vpa-recommender")
	eventually(t, 15*time.Second, func() error {
		c, err := s.condition("QuartetActing")
		if err == nil && (c.Status != "False" || c.Reason != "OtherRecommenderWrites") {
			err = fmt.Errorf("beside upstream's write of just now the condition is %s %s (%s)", c.Status, c.Reason, c.Message)
		}
		return err
	})
	if n := s.checkpoint().Status.TotalSamplesCount; n != samples {
		t.Errorf("the checkpoint went from %d samples to %d while upstream's may be alive", samples, n)
	}
	s.quiet()
	eventually(t, 20*time.Second, func() error {
		c := s.checkpoint()
		if c.Status.TotalSamplesCount <= samples || c.Annotations[checkpoint.Annotation] == "" {
			return fmt.Errorf("the checkpoint has %d samples after upstream's %d, and annotations %v", c.Status.TotalSamplesCount, samples, c.Annotations)
		}
		return nil
	})
	s.sameTargets(before)
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	s.upstreamLearns(s.checkpoint().Status.TotalSamplesCount)
	s.sameTargets(before)
}

// upstreamLearns runs upstream's recommender until it has recommended, and its
// checkpoint has ten samples more than there were. It gives the recommendation.
func (s *vpaLab) upstreamLearns(samples int) vpav1.RecommendedContainerResources {
	s.t.Helper()
	u, err := s.lab.RunUpstreamVPA(s.t.Context(), lab.VPARecommender, "--recommender-interval=1s")
	if err == nil {
		err = u.WaitReady(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 40*time.Second, func() error {
		if n := s.checkpoint().Status.TotalSamplesCount; n < samples+10 {
			return fmt.Errorf("upstream's checkpoint has %d samples, want ten more than %d", n, samples)
		}
		return nil
	})
	r := s.awaitRecommended(workload, 10*time.Second)
	if err := u.Stop(); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// sameTargets fails unless the targets are what they were. Bounds close in with each
// sample, whoever takes it.
func (s *vpaLab) sameTargets(before vpav1.RecommendedContainerResources) {
	s.t.Helper()
	now, err := s.recommended(workload)
	if err != nil {
		s.t.Fatal(err)
	}
	targets := func(r vpav1.RecommendedContainerResources) map[string]string {
		return map[string]string{
			"cpu": r.Target.Cpu().String(), "memory": r.Target.Memory().String(),
			"uncapped cpu": r.UncappedTarget.Cpu().String(), "uncapped memory": r.UncappedTarget.Memory().String(),
		}
	}
	if diff := cmp.Diff(targets(before), targets(now)); diff != "" {
		s.t.Errorf("targets (-before +now):\n%s", diff)
	}
}

func (s *vpaLab) condition(kind vpav1.VerticalPodAutoscalerConditionType) (vpav1.VerticalPodAutoscalerCondition, error) {
	s.t.Helper()
	var vpa vpav1.VerticalPodAutoscaler
	s.get(workload, &vpa)
	for _, c := range vpa.Status.Conditions {
		if c.Type == kind {
			return c, nil
		}
	}
	return vpav1.VerticalPodAutoscalerCondition{}, fmt.Errorf("no condition %s: %v", kind, vpa.Status.Conditions)
}

// quiet has upstream's last write of the status be longer ago than ours waits for.
func (s *vpaLab) quiet() {
	s.t.Helper()
	long := metav1.NewTime(time.Now().Add(-2 * time.Hour))
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var vpa vpav1.VerticalPodAutoscaler
		s.get(workload, &vpa)
		found := false
		for i := range vpa.ManagedFields {
			if f := &vpa.ManagedFields[i]; f.Manager == lab.VPARecommender && f.Subresource == "status" {
				f.Time, found = &long, true
			}
		}
		if !found {
			return errors.New("upstream's recommender wrote no status")
		}
		return s.client.Update(s.t.Context(), &vpa)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
