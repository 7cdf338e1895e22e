package runtimes_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/admission/runtimes"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scene is the first part of a golden file, in YAML.
type scene struct {
	Container corev1.Container
	Kinds     []runtimes.Kind
	From, To  resource.Quantity
}

// TestScenarios plays the files of testdata: a container and how its limit moved,
// a line "----", and what becomes of its settings.
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
			s := scene{Kinds: []runtimes.Kind{runtimes.GoMemLimit, runtimes.JVMHeap}}
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
	var b strings.Builder
	parts, order := map[string][]runtimes.Replacement{}, []string{}
	for _, setting := range runtimes.Find(&s.Container, s.Kinds...) {
		to, ok := setting.Scale(s.From.Value(), s.To.Value())
		if !ok {
			fmt.Fprintf(&b, "%s %s stays\n", setting.At, setting.Text)
			continue
		}
		fmt.Fprintf(&b, "%s %s becomes %s\n", setting.At, setting.Text, to)
		if parts[setting.At] == nil {
			order = append(order, setting.At)
		}
		parts[setting.At] = append(parts[setting.At], runtimes.Replacement{Offset: setting.Offset, From: setting.Text, To: to})
	}
	for _, at := range order {
		text, ok := runtimes.Rewrite(textAt(&s.Container, at), parts[at])
		if !ok {
			t.Errorf("%s could not be rewritten", at)
		}
		fmt.Fprintf(&b, "%s: %s\n", at, text)
	}
	return b.String()
}

// textAt is the string at a pointer below a container.
func textAt(c *corev1.Container, at string) string {
	var i int
	switch {
	case strings.HasPrefix(at, "env/"):
		_, _ = fmt.Sscanf(at, "env/%d/value", &i)
		return c.Env[i].Value
	case strings.HasPrefix(at, "command/"):
		_, _ = fmt.Sscanf(at, "command/%d", &i)
		return c.Command[i]
	}
	_, _ = fmt.Sscanf(at, "args/%d", &i)
	return c.Args[i]
}

func TestRewriteLeavesWhatIsNotAsExpected(t *testing.T) {
	tests := map[string][]runtimes.Replacement{
		"another text":     {{Offset: 0, From: "-Xmx2g", To: "-Xmx1g"}},
		"beyond the end":   {{Offset: 99, From: "-Xmx1g", To: "-Xmx2g"}},
		"in another order": {{Offset: 7, From: "-Xms1g", To: "-Xms2g"}, {Offset: 0, From: "-Xmx1g", To: "-Xmx2g"}},
	}
	for name, parts := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := runtimes.Rewrite("-Xmx1g -Xms1g", parts); ok || got != "-Xmx1g -Xms1g" {
				t.Errorf("rewrote to %q", got)
			}
		})
	}
}

// FuzzScale takes any container's words and limits: what is scaled is found again
// in the same place, never takes a larger share of the limit than before, and at
// least 99 of 100 parts of it, but for the last byte.
func FuzzScale(f *testing.F) {
	f.Add("java -Xmx512m -Xms1G '-XX:MaxHeapSize=7'", "900MiB", int64(1<<30), int64(3<<29))
	f.Add("-Xmx99999999999999999999t", "off", int64(1), int64(1<<62))
	f.Fuzz(func(t *testing.T, word, limit string, from, to int64) {
		c := &corev1.Container{Args: []string{word}, Env: []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: limit}}}
		found := runtimes.Find(c, runtimes.JVMHeap, runtimes.GoMemLimit)
		for _, s := range found {
			text := textAt(c, s.At)
			if s.Offset > len(text) || !strings.HasPrefix(text[s.Offset:], s.Text) {
				t.Fatalf("%+v is not in %q", s, text)
			}
			scaled, ok := s.Scale(from, to)
			if !ok {
				continue
			}
			after, ok := runtimes.Rewrite(text, []runtimes.Replacement{{Offset: s.Offset, From: s.Text, To: scaled}})
			if !ok {
				t.Fatalf("%+v could not be rewritten to %q", s, scaled)
			}
			again := &corev1.Container{Args: []string{after}, Env: []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: after}}}
			if len(runtimes.Find(again, runtimes.JVMHeap, runtimes.GoMemLimit)) == 0 {
				t.Fatalf("%q is no setting any more", scaled)
			}
		}
	})
}
