package patch_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/admission/runtimes"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scene is the first part of a golden file, in YAML.
type scene struct {
	Mode         string
	UpdateMode   vpav1.UpdateMode
	Rival        string
	Pod          corev1.Pod
	Policy       *vpav1.PodResourcePolicy
	Recommend    []resourcepolicy.Recommendation
	Limits       resourcepolicy.Limits
	Gates        features.Gates
	MaxBoost     *resource.Quantity
	StartupBoost *vpav1.StartupBoost
	Runtimes     []runtimes.Kind

	Sidecars, FollowPodLevel bool
}

// TestScenarios plays the files of testdata: a scene in YAML, a line "----", and
// what was decided on it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, _, _ := strings.Cut(string(raw), "----\n")
			s := scene{Mode: patch.ModeAuto, UpdateMode: vpav1.UpdateModeRecreate}
			if err := yaml.UnmarshalStrict([]byte(text), &s); err != nil {
				t.Fatal(err)
			}
			got := text + "----\n" + tell(t, s)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(raw), got); diff != "" {
				t.Errorf("run with -update to accept:\n%s", diff)
			}
		})
	}
}

func tell(t *testing.T, s scene) string {
	t.Helper()
	snapshot := patch.Snapshot{
		Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Mode: s.Mode, Rival: s.Rival, Limits: s.Limits, Pod: patch.Of(&s.Pod, "web-*", s.Runtimes...),
		Gates: s.Gates, MaxBoost: s.MaxBoost, Sidecars: s.Sidecars, FollowPodLevel: s.FollowPodLevel,
		VPA: patch.VPA{
			Namespace: "shop", Name: "web", UpdateMode: s.UpdateMode, Policy: s.Policy, Recommendations: s.Recommend, StartupBoost: s.StartupBoost,
		},
	}
	d := patch.Decide(snapshot, patch.State{})
	decidedAgain(t, snapshot, d)
	var b strings.Builder
	fmt.Fprintf(&b, "%d -> %d act=%t %s: %s\n", d.From, d.To, d.Act, d.Reason, d.Message)
	for _, step := range d.Steps {
		fmt.Fprintf(&b, "  %s [%s > %s] %s: %s\n", step.Rule, step.In, step.Out, step.Reason, step.Message)
	}
	for _, o := range d.Operations {
		value, err := json.Marshal(o.Value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "  %s %s %s\n", o.Op, o.Path, value)
	}
	for _, e := range d.Edits {
		fmt.Fprintf(&b, "  edit %s at %d: %s > %s\n", e.Path, e.Offset, e.From, e.To)
	}
	return b.String()
}
