package main

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	decisions "github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestFlags(t *testing.T) {
	cases := map[string]struct {
		in       settings
		args     []string
		terminal bool
		want     settings
		fails    bool
	}{
		"terminal":          {in: settings{queue: "nats"}, terminal: true, want: settings{queue: "nats"}},
		"no terminal":       {in: settings{queue: "nats"}, want: settings{queue: "nats", headless: true, duration: 4 * time.Minute}},
		"headless as asked": {in: settings{queue: "kafka", headless: true, duration: 2 * time.Minute}, terminal: true, want: settings{queue: "kafka", headless: true, duration: 2 * time.Minute}},
		"too short":         {in: settings{queue: "nats", duration: time.Minute}, fails: true},
		"no such queue":     {in: settings{queue: "carrier-pigeon"}, fails: true},
		"stray argument":    {args: []string{"now"}, fails: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.in
			err := got.complete(c.args, c.terminal)
			if (err != nil) != c.fails {
				t.Fatalf("error %v, want one: %v", err, c.fails)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(settings{})); err == nil && diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	good := report{
		Messages: messageReport{Produced: 10, Consumed: 10},
		Replicas: replicaReport{Min: 1, Peak: 4, Final: 1},
		Reaction: reactionReport{Count: 2, Median: 0.5, Max: 1},
		Replay:   replayReport{Decisions: 100},
		Nodes:    nodeReport{Min: 1, Peak: 4, Final: 1}, RightSized: true,
	}
	if err := good.verdict(); err != nil {
		t.Fatalf("a good run is refused: %v", err)
	}
	spoilt := map[string]func(*report){
		"budgets":          func(r *report) { r.PDBViolations = 1 },
		"nodes never grew": func(r *report) { r.Nodes.Peak = 1 },
		"only 0 nodes":     func(r *report) { r.Nodes.Min = 0 },
		"nodes are left":   func(r *report) { r.Nodes.Final = 2 },
		"not right-sized":  func(r *report) { r.RightSized = false },
		"lost":             func(r *report) { r.Messages.Lost = 1 },
		"no message":       func(r *report) { r.Messages.Produced = 0 },
		"never grew":       func(r *report) { r.Replicas.Peak = 1 },
		"are left":         func(r *report) { r.Replicas.Final = 2 },
		"no reaction":      func(r *report) { r.Reaction = reactionReport{} },
		"no decision":      func(r *report) { r.Replay = replayReport{} },
		"differ":           func(r *report) { r.Replay.Differences = 1 },
	}
	for fault, spoil := range spoilt {
		t.Run(fault, func(t *testing.T) {
			r := good
			spoil(&r)
			if err := r.verdict(); err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("verdict %v does not say %q", err, fault)
			}
		})
	}
}

func TestRenderGolden(t *testing.T) {
	at := metav1.NewMicroTime(time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC))
	f := frame{
		elapsed: 83*time.Second + 200*time.Millisecond, duration: 4 * time.Minute,
		rate: 120, depth: 340, peak: 900, produced: 5000, consumed: 4660, replicas: 9, working: 8,
		reaction: reactionReport{Count: 4, Median: 0.91, Max: 1.4},
		last:     decisions.Decision{Message: "external metric orders-depth 340 over a target of 40 a pod wants 9"},
		recent: []decisions.Decision{
			{At: at, From: "3", To: "9", Act: true, Message: "external metric orders-depth 340 over a target of 40 a pod wants 9"},
			{At: at, From: "10", To: "9", Act: true, Message: "short"},
		},
		cluster: clusterSeen{
			nodes: nodeReport{Final: 4}, pending: 3, steady: "40m, 525m", target: "525m",
			pool: v1alpha1.NodePool{Status: v1alpha1.NodePoolStatus{Conditions: []metav1.Condition{{Type: "Ready", Message: "grows to 4 for 3 pods"}}}},
		},
		nodes: []int{1, 1, 2, 4},
		rates: []int{2, 10, 60, 120}, depths: []int{0, 100, 900, 340}, sizes: []int{1, 1, 3, 8},
	}
	got := render(f, 100)
	const golden = "testdata/view.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("view (-want +got), -update writes it anew:\n%s", diff)
	}
}

// A narrow terminal, an empty start and huge numbers draw without a fault.
func TestRenderBounds(t *testing.T) {
	for _, f := range []frame{{}, {depth: 1 << 40, depths: []int{1 << 40, 0}, recent: []decisions.Decision{{}}}} {
		for _, width := range []int{0, 10, 400} {
			for line := range strings.Lines(render(f, width)) {
				if n := len([]rune(line)); n > max(width, 60)+40 {
					t.Errorf("a line of %d characters at width %d", n, width)
				}
			}
		}
	}
}
