package kubelet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplaceFiles(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []struct {
		name    string
		files   map[string]string
		changes bool
	}{
		{"none", nil, true},
		{"two", map[string]string{"tls.crt": "one", "sub/tls.key": "two"}, true},
		{"the same", map[string]string{"tls.crt": "one", "sub/tls.key": "two"}, false},
		{"changed", map[string]string{"tls.crt": "three", "sub/tls.key": "two"}, true},
		{"another", map[string]string{"ca.crt": "four"}, true},
	} {
		before, _ := os.Readlink(filepath.Join(dir, dataLink))
		files := map[string][]byte{}
		for name, content := range step.files {
			files[name] = []byte(content)
		}
		if err := replaceFiles(dir, files); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		after, err := os.Readlink(filepath.Join(dir, dataLink))
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if (before != after) != step.changes {
			t.Errorf("%s: the link went from %q to %q", step.name, before, after)
		}
		if diff := cmp.Diff(step.files, visible(t, dir, after)); diff != "" {
			t.Errorf("%s: unexpected files (-want +got):\n%s", step.name, diff)
		}
	}
}

// visible reads the files of a volume through its links, and checks that no folder but the current one is left.
func visible(t *testing.T, dir, current string) map[string]string {
	t.Helper()
	var found map[string]string
	for _, pattern := range []string{"*", "*/*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name, err := filepath.Rel(dir, path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "..") {
				if name != dataLink && name != current && filepath.Dir(name) == "." {
					t.Errorf("%s was left", name)
				}
				continue
			}
			if info, err := os.Stat(path); err != nil || info.IsDir() {
				if err != nil {
					t.Error(err)
				}
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if found == nil {
				found = map[string]string{}
			}
			found[name] = string(content)
		}
	}
	return found
}
