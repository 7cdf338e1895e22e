package replicas

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryStepIsExplained holds docs/hpa.md to the names of the rules and of
// the steps in the scenarios.
func TestEveryStepIsExplained(t *testing.T) {
	text := read(t, "../../docs/hpa.md")
	names := map[string]bool{"mode/recommend": true}
	for _, r := range rules() {
		if r.name != "metric" && r.name != "delay/direction" && r.name != "pause/direction" {
			names[r.name] = true
		}
	}
	for _, kind := range []string{Resource, ContainerResource, Pods, Object, External} {
		names[metricRule(kind)] = true
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	step := regexp.MustCompile(`(?m)^  ([a-z-]+/[a-z-]+) \[`)
	for _, file := range files {
		for _, m := range step.FindAllStringSubmatch(read(t, file), -1) {
			names[m[1]] = true
		}
	}
	for name := range names {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/hpa.md does not explain the step %s", name)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
