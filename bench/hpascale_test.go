package main

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// TestHPAScale measures both sides with a few objects and a short period: that
// there are figures, and that they can be right.
func TestHPAScale(t *testing.T) {
	t.Parallel()
	plan := hpaPlan{hpas: 40, quiet: time.Second, window: 4 * time.Second}
	const period = "--horizontal-pod-autoscaler-sync-period=2s"
	for name, side := range map[string]contender{
		"ours": ourHPA(period), "upstream": upstreamHPA("upstream", append([]string{period}, ampleRequests...)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := plan.measure(t.Context(), side)
			if err != nil {
				t.Fatal(err)
			}
			if f.middle < 1.5 || f.middle > 4 || f.longest < f.middle {
				t.Errorf("objects are evaluated each %.2f s, %.2f s at the longest; want about 2 s", f.middle, f.longest)
			}
			if f.moving.requests < 1 {
				t.Errorf("%.2f requests for an evaluation that has a status to write", f.moving.requests)
			}
			if f.pass <= 0 || f.rss < 10 || f.rest.cpu <= 0 || f.moving.cpu <= 0 {
				t.Errorf("figures %+v", f)
			}
			if name == "upstream" && (f.rest.requests < 1.9 || f.moving.requests < 2.9) {
				t.Errorf("upstream makes %.2f requests, and %.2f while usage moves; want about 2 and 3", f.rest.requests, f.moving.requests)
			}
		})
	}
}

func TestSeries(t *testing.T) {
	text := `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="pods",verb="LIST"} 12
apiserver_request_total{code="200",resource="deployments",subresource="scale",verb="GET"} 1.5e+03
apiserver_request_total_other{code="200"} 7
horizontal_pod_total 3
`
	got, err := seriesOf([]byte(text), "apiserver_request_total")
	if err != nil {
		t.Fatal(err)
	}
	want := counts{
		`code="200",resource="pods",verb="LIST"`:                           12,
		`code="200",resource="deployments",subresource="scale",verb="GET"`: 1500,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if plain, err := seriesOf([]byte(text), "horizontal_pod_total"); err != nil || plain.sum() != 3 {
		t.Errorf("a series without labels is %v, %v", plain, err)
	}
	later := counts{`code="200",resource="pods",verb="LIST"`: 20, `code="200",resource="deployments",subresource="scale",verb="GET"`: 1500}
	if got, want := most(later.since(got)), "8 LIST pods"; got != want {
		t.Errorf("what was added is %q, want %q", got, want)
	}
}

func TestLowerIsBetter(t *testing.T) {
	c := compared[float64]{ours: []float64{2, 3}, theirs: []float64{20, 10}}
	got := lower(c, "s", func(f float64) float64 { return f })
	upstream, ratio := 10.0, 5.0
	if diff := cmp.Diff(result{Value: 2, Unit: "s", Upstream: &upstream, Ratio: &ratio}, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestProcessTimes(t *testing.T) {
	begin := time.Now()
	for deadline := time.Now().Add(50 * time.Millisecond); time.Now().Before(deadline); {
	}
	self, err := timesOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if self.cpu <= 0 || self.started.After(begin) || time.Since(self.started) > time.Hour {
		t.Errorf("this process started %s ago and took %v s", time.Since(self.started), self.cpu)
	}
	if _, err := timesOf(-1); err == nil {
		t.Error("a process that is not there has times")
	}
}

// TestHPAReaction measures the reactions to a few queues.
func TestHPAReaction(t *testing.T) {
	brokertest.Program(t, "redis-server")
	t.Parallel()
	f, err := reactionPlan{hpas: 20, over: 2 * time.Second}.measure(t.Context(), ourHPA())
	if err != nil {
		t.Fatal(err)
	}
	if f.p50 <= 0 || f.p99 < f.p50 || f.p99 > 10 {
		t.Errorf("reactions take %.3f s, %.3f s at the 99th percentile", f.p50, f.p99)
	}
}
