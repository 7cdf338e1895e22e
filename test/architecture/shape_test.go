package architecture

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The bounds of a main function's file, and of what counts as a paragraph.
const (
	mainLines      = 60
	paragraphRunes = 60
)

// TestCommandsOnlyWire keeps logic out of the mains of the product.
func TestCommandsOnlyWire(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Name != "main" || room(p.rel()) != "cmd" {
			continue
		}
		lines := 0
		for _, file := range p.GoFiles {
			content, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(content, []byte("\n"))
		}
		if lines >= mainLines {
			t.Errorf("%s has %d lines; a main has signals, flags, wiring and one exit in fewer than %d", p.rel(), lines, mainLines)
		}
	}
}

// TestPackagesSayWhatTheyAreFor wants a package comment of some length.
func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for _, p := range listPackages(t) {
		files := slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles)
		if len(files) == 0 {
			continue
		}
		if doc := packageDoc(t, p.Dir, files); len([]rune(doc)) < paragraphRunes {
			t.Errorf("%s has no paragraph that says what the package is for and what it is not (%d characters)", p.rel(), len(doc))
		}
	}
}

func packageDoc(t *testing.T, dir string, names []string) string {
	t.Helper()
	var longest string
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if doc := strings.TrimSpace(file.Doc.Text()); len(doc) > len(longest) {
			longest = doc
		}
	}
	return longest
}
