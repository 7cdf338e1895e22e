package vpa

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/controller"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// TestGoldenNumbers has what upstream's recommender is known to give, by its
// defaults: for usage that is always the same, and for containers that use nothing.
func TestGoldenNumbers(t *testing.T) {
	cases := map[string]struct {
		containers    []string
		milli, memory int64
		want          string
	}{
		"steady":              {[]string{"app"}, 100, 256 << 20, "app 126m 323522422"},
		"idle":                {[]string{"app"}, 0, 0, "app 25m 262144000"},
		"two idle containers": {[]string{"app", "proxy"}, 0, 0, "app 12m 131072000, proxy 12m 131072000"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var state estimator.State
			var shown estimator.Recommendation
			for i := range 10 {
				now := time.Date(2026, 3, 1, 12, i, 0, 0, time.UTC)
				pod := estimator.Pod{Sampled: now, Containers: map[string]estimator.Container{}}
				for _, container := range c.containers {
					pod.Containers[container] = estimator.Container{Usage: estimator.Amounts{CPU: &c.milli, Memory: &c.memory}}
				}
				s := estimator.Snapshot{Now: now, Mode: estimator.ModeAuto, Config: controller.View{Options: controller.NewOptions()}.Config(),
					Pods: map[string]estimator.Pod{"app-1": pod}}
				d := estimator.Decide(s, state)
				state, shown = estimator.Commit(state, d, decision.Outcome{Result: decision.Succeeded}), d.To
			}
			got := ""
			for i, r := range shown {
				if i > 0 {
					got += ", "
				}
				got += fmt.Sprintf("%s %dm %d", r.Container, *r.Target.CPU, *r.Target.Memory)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("recommended (-want +got):\n%s", diff)
			}
		})
	}
}
