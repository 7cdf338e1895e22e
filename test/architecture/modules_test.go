package architecture

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// agreeing are the nested modules that share dependencies with the root, so that
// nothing compiles twice. The linters' own are theirs alone.
var agreeing = []string{"test/lab/binaries", "test/lab/vpabinaries", "hack/tools/controller-gen"}

// differs is what one of them has another version of, because it does not compile
// against the root's: its go.mod says why.
var differs = map[string]string{"test/lab/vpabinaries": "github.com/prometheus/client_golang"}

// TestModulesAgree wants one version of whatever the root and a nested module
// both require.
func TestModulesAgree(t *testing.T) {
	root := moduleRoot(t)
	want := required(t, root)
	for _, nested := range agreeing {
		shared := 0
		var differing []string
		for path, version := range required(t, filepath.Join(root, nested)) {
			if want[path] == "" {
				continue
			}
			shared++
			if (version != want[path]) != (path == differs[nested]) {
				differing = append(differing, path+"@"+want[path])
			}
		}
		if len(differing) > 0 {
			slices.Sort(differing)
			t.Errorf("%s requires other versions than the root, or no longer another of what it differs in: go -C %s get %s", nested, nested, strings.Join(differing, " "))
		}
		if shared == 0 {
			t.Errorf("%s shares no dependency with the root: nothing was compared", nested)
		}
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("go env GOMOD: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// required gives the version of each module that dir's go.mod requires, after
// its replacements.
func required(t *testing.T, dir string) map[string]string {
	t.Helper()
	type versioned struct{ Path, Version string }
	var mod struct {
		Require []versioned
		Replace []struct{ Old, New versioned }
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit -json in %s: %v", dir, err)
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	for _, r := range mod.Replace {
		if versions[r.Old.Path] != "" && r.New.Version != "" {
			versions[r.Old.Path] = r.New.Version
		}
	}
	return versions
}
