package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// root is the module's folder.
const root = "../.."

// explained are the pages that explain decisions, and the pure packages that make
// them.
var explained = map[string][]string{
	"docs/metrics-adapter.md": {"adapter/query"},
	"docs/vpa.md":             {"recommender/estimator", "updater/eviction", "updater/fit", "admission/patch"},
	"docs/cluster-scaler.md":  {"cluster-scaler/plan", "cluster-scaler/scaledown"},
}

var (
	// stepName is the form of a rule's name; one that ends in a slash is followed
	// by the name of an object.
	stepName = regexp.MustCompile(`^[a-z-]+(/[a-z-]+)*/[a-z-]*$`)
	// reasonName is the form of a reason of at least two words.
	reasonName = regexp.MustCompile(`^[A-Z][a-z]+([A-Z][a-z]*)+$`)
)

// TestEveryStepIsExplained holds the pages to each step and each reason that the
// rules can give.
func TestEveryStepIsExplained(t *testing.T) {
	for page, packages := range explained {
		text := readFile(t, page)
		for _, rel := range packages {
			steps, reasons := namesIn(t, rel)
			if len(steps)+len(reasons) == 0 {
				t.Errorf("found no names in %s", rel)
			}
			for name := range steps {
				if !strings.Contains(text, "`"+name) {
					t.Errorf("%s does not explain the step %s of %s", page, name, rel)
				}
			}
			for name := range reasons {
				if !strings.Contains(text, name) {
					t.Errorf("%s does not name the reason %s of %s", page, name, rel)
				}
			}
		}
	}
}

// namesIn gathers the strings of a package that have the form of a step's name,
// and its constants that have that of a reason.
func namesIn(t *testing.T, rel string) (steps, reasons map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, rel, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	steps, reasons = map[string]bool{}, map[string]bool{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec, *ast.Field:
				return false
			case *ast.GenDecl:
				if n.Tok == token.CONST {
					collect(n, reasonName, reasons)
				}
			case *ast.BasicLit:
				collect(n, stepName, steps)
			}
			return true
		})
	}
	return steps, reasons
}

// collect adds the strings below a node that have a form.
func collect(n ast.Node, form *regexp.Regexp, into map[string]bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && form.MatchString(s) {
				into[s] = true
			}
		}
		return true
	})
}

// compared are the parts of docs/differences.md, by their headings, and the
// folders whose tests they name.
var compared = map[string][]string{
	"HPA controller":            {"hpa", "test/conformance"},
	"VPA recommender":           {"recommender", "test/conformance/vpa"},
	"VPA updater and admission": {"updater", "admission", "internal/vertical", "internal/resourcepolicy", "test/conformance/vpa"},
}

// TestDifferencesNameTheirTests holds docs/differences.md to tests that exist, and
// to scenarios of theirs.
func TestDifferencesNameTheirTests(t *testing.T) {
	parts := strings.Split(readFile(t, "docs/differences.md"), "\n## ")[1:]
	if len(parts) != len(compared) {
		t.Errorf("docs/differences.md has %d parts, want %d", len(parts), len(compared))
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z]+)(?:/([a-z-]+))?`")
	for _, part := range parts {
		heading, text, _ := strings.Cut(part, "\n")
		tests, scenarios := testsIn(t, compared[heading])
		found := named.FindAllStringSubmatch(text, -1)
		if len(found) < 5 {
			t.Errorf("part %q names only %d tests", heading, len(found))
		}
		for _, m := range found {
			if !tests[m[1]] {
				t.Errorf("part %q names %s, which does not exist", heading, m[1])
			}
			if m[2] != "" && !scenarios[m[2]] {
				t.Errorf("part %q names the scenarios %s, which do not exist", heading, m[2])
			}
		}
	}
}

// testsIn gathers the tests and the files of scenarios below folders.
func testsIn(t *testing.T, folders []string) (tests, scenarios map[string]bool) {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z]+)\(`)
	tests, scenarios = map[string]bool{}, map[string]bool{}
	for _, folder := range folders {
		err := fs.WalkDir(os.DirFS(root), folder, func(path string, _ fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case strings.HasSuffix(path, "_test.go"):
				for _, m := range function.FindAllStringSubmatch(readFile(t, path), -1) {
					tests[m[1]] = true
				}
			case strings.Contains(path, "/testdata/"):
				scenarios[strings.TrimSuffix(filepath.Base(path), ".txt")] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return tests, scenarios
}

// readFile reads a file by its path below the root.
func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
