package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestVPARecommender measures both sides with a few objects and a short interval:
// that there are figures, and that they can be right.
func TestVPARecommender(t *testing.T) {
	t.Parallel()
	const interval = "--recommender-interval=2s"
	load := vpaLoad{vpas: 20, pods: 50}
	for name, side := range map[string]contender{
		"ours": ourRecommender(1, interval), "upstream": upstreamRecommender("upstream", interval),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := vpaPlan{load: load, quiet: time.Second, passes: 2}.measure(t.Context(), side)
			if err != nil {
				t.Fatal(err)
			}
			if f.pass <= 0 || f.pass > 30 || f.peak < 10 || f.requests <= 0 {
				t.Errorf("figures %+v", f)
			}
			// Upstream writes every checkpoint in each pass.
			if checkpoints := float64(load.vpas * len(vpaContainers)); name == "upstream" && f.requests < checkpoints {
				t.Errorf("upstream makes %.0f requests in a pass, and has %.0f checkpoints to write", f.requests, checkpoints)
			}
		})
	}
}

// TestVPAAdmission does so with both webhooks.
func TestVPAAdmission(t *testing.T) {
	t.Parallel()
	for name, side := range map[string]contender{"ours": ourAdmission(), "upstream": upstreamAdmission()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := admissionPlan{vpas: 20, over: 500 * time.Millisecond}.measure(t.Context(), side)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []reviewFigures{f.alone, f.together} {
				if r.rate <= 0 || r.p50 <= 0 || r.p99 < r.p50 {
					t.Errorf("figures %+v", r)
				}
			}
		})
	}
}

func TestPodsOfLoads(t *testing.T) {
	total, most := 0, 0
	for i := range vpaSmall.vpas {
		total, most = total+vpaSmall.podsOf(i), max(most, vpaSmall.podsOf(i))
	}
	if total != vpaSmall.pods || most != 3 {
		t.Errorf("%d pods, %d of one VPA at the most; want %d and 3", total, most, vpaSmall.pods)
	}
}

func TestHigherIsBetter(t *testing.T) {
	c := compared[float64]{ours: []float64{30, 20}, theirs: []float64{10, 40}}
	got := higher(c, "reviews/s", func(f float64) float64 { return f })
	upstream, ratio := 10.0, 2.0
	if diff := cmp.Diff(result{Value: 20, Unit: "reviews/s", Upstream: &upstream, Ratio: &ratio}, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestReported(t *testing.T) {
	output := "BenchmarkWeek/ours-2   1   123456 ns/op   0.125 MiB/day\nBenchmarkWeek/upstream   1   99 ns/op   1200 MiB/day\n"
	for name, want := range map[string]float64{"BenchmarkWeek/ours": 0.125, "BenchmarkWeek/upstream": 1200} {
		if got, err := reported(output, name, "MiB/day"); err != nil || got != want {
			t.Errorf("%s reports %v, %v; want %v", name, got, err, want)
		}
	}
	if _, err := reported(output, "BenchmarkWeek/ours", "MiB"); err == nil {
		t.Error("a unit that is not there gave a figure")
	}
}
