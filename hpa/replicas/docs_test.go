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
		if r.name != "metric" && r.name != "delay/direction" {
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

// TestDifferencesNameTheirTests holds docs/differences.md to tests that exist.
func TestDifferencesNameTheirTests(t *testing.T) {
	var sources strings.Builder
	for _, pattern := range []string{"*_test.go", "../controller/*_test.go", "../behavior/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			sources.WriteString(read(t, file))
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z]+)(?:/([a-z]+))?`").FindAllStringSubmatch(read(t, "../../docs/differences.md"), -1)
	if len(named) < 10 {
		t.Fatalf("found only %d names of tests", len(named))
	}
	for _, m := range named {
		if !strings.Contains(sources.String(), "func "+m[1]+"(") {
			t.Errorf("docs/differences.md names %s, which does not exist", m[1])
		}
		if m[2] != "" {
			read(t, "testdata/"+m[2]+".txt")
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
