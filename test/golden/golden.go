// Package golden holds scenarios that are readable text to what the code makes
// of them now. A scenario's file is its input and its output in one; what the
// words mean is each test's own.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the scenarios give now into their files")

// Scenarios plays each file that the pattern matches, as a subtest of the file's
// name, and fails where play makes another text of it. With -update the text is
// written into the file instead. It fails where there is no file at all.
func Scenarios(t *testing.T, pattern string, play func(t testing.TB, text string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := play(t, string(before))
			if *update {
				if err := os.WriteFile(file, []byte(after), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(before), after); diff != "" {
				t.Errorf("the scenario came out otherwise (-file +now); go test -update writes it anew:\n%s", diff)
			}
		})
	}
}
