package architecture

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// listed is what `go list -json` says of a package.
type listed struct {
	Dir, ImportPath, Name              string
	Imports, TestImports, XTestImports []string
	GoFiles, TestGoFiles, XTestGoFiles []string
}

// rel is the package's path below the module.
func (p listed) rel() string {
	rel, _ := own(p.ImportPath)
	return rel
}

// listPackages lists all packages of the module, for Linux, which has them all.
func listPackages(t *testing.T) []listed {
	t.Helper()
	fields := "Dir,ImportPath,Name,Imports,TestImports,XTestImports,GoFiles,TestGoFiles,XTestGoFiles"
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json="+fields, module+"/...")
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// TestImports reads what each package imports directly. The tests of a package
// may import more.
func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		for _, to := range p.Imports {
			if reason := forbidden(p.rel(), to); reason != "" {
				t.Errorf("%s imports %s: %s", p.rel(), to, reason)
			}
		}
	}
}

// TestRulesBite holds the rules themselves to examples, since a rule that
// nothing breaks could as well be no rule.
func TestRulesBite(t *testing.T) {
	cases := []struct {
		from, to string
		allowed  bool
	}{
		{"hpa/replicas", "math", true},
		{"hpa/replicas", "k8s.io/api/autoscaling/v2", true},
		{"hpa/replicas", module + "/internal/decision", true},
		{"hpa/replicas", module + "/hpa/behavior", true},
		{"hpa/replicas", "k8s.io/client-go/tools/cache", false},
		{"hpa/replicas", "k8s.io/klog/v2", false},
		{"hpa/replicas", "github.com/prometheus/client_golang/prometheus", false},
		{"hpa/replicas", "os", false},
		{"hpa/replicas", "context", false},
		{"hpa/replicas", "net/http", false},
		{"hpa/replicas", "log/slog", false},
		{"hpa/replicas", module + "/internal/kube", false},
		{"hpa/replicas", module + "/hpa/controller", false},
		{"cluster-scaler/scheduling", "k8s.io/kubernetes/pkg/scheduler/framework", true},
		{"cluster-scaler/scheduling", "k8s.io/client-go/rest", false},
		{"cluster-scaler/scheduling", "os", false},
		{"cluster-scaler/scaleup", "k8s.io/kubernetes/pkg/scheduler/framework", false},
		{"hpa/controller", "k8s.io/client-go/tools/cache", true},
		{"hpa/controller", module + "/internal/kube", true},
		{"hpa/controller", module + "/adapter/query", false},
		{"hpa/controller", module + "/test/lab/lab", false},
		{"internal/kube", module + "/hpa/replicas", false},
		{"internal/kube", module + "/api/v1alpha1", true},
		{"internal/loop", "context", true},
		{"internal/loop", "k8s.io/client-go/rest", false},
		{"internal/ledger", "os", true},
		{"internal/simulation", module + "/hpa/replicas", true},
		{"internal/simulation", module + "/internal/kube", false},
		{"api/v1alpha1", module + "/internal/decision", false},
		{"cmd/hpa-controller", module + "/hpa/controller", true},
		{"cmd/kubectl-quartet", module + "/cmd/kubectl-quartet/cli", true},
		{"cmd/hpa-controller", module + "/cmd/kubectl-quartet/cli", false},
		{"hpa/controller", module + "/cmd/kubectl-quartet/cli", false},
		{"test/e2e", module + "/hpa/controller", true},
	}
	for _, c := range cases {
		if reason := forbidden(c.from, c.to); (reason == "") != c.allowed {
			t.Errorf("%s imports %s: allowed %v, want %v (%s)", c.from, c.to, reason == "", c.allowed, reason)
		}
	}
}

// clockAndChance are the functions, by package, that make pure code depend on
// more than its arguments. Of math/rand only what takes a seed is allowed.
var (
	clock  = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	seeded = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}
)

// TestPureCodeTakesTimeAndChanceAsArguments reads the syntax of pure packages.
func TestPureCodeTakesTimeAndChanceAsArguments(t *testing.T) {
	checked := 0
	for _, p := range listPackages(t) {
		if !isPure(p.rel()) {
			continue
		}
		checked++
		for _, file := range p.GoFiles {
			for _, use := range impureUses(t, filepath.Join(p.Dir, file)) {
				t.Errorf("%s/%s: %s", p.rel(), use, "time and chance are arguments of pure code")
			}
		}
	}
	if checked == 0 {
		t.Error("no pure package found")
	}
}

func impureUses(t *testing.T, path string) []string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{} // of imported packages, by the name in this file
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		switch imported {
		case "time", "math/rand", "math/rand/v2":
			name := map[string]string{"time": "time"}[imported]
			if name == "" {
				name = "rand"
			}
			if spec.Name != nil {
				name = spec.Name.Name
			}
			names[name] = imported
		}
	}
	var uses []string
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && impure(names[x.Name], selector.Sel.Name) {
			position := files.Position(selector.Pos())
			uses = append(uses, filepath.Base(path)+":"+strconv.Itoa(position.Line)+" uses "+x.Name+"."+selector.Sel.Name)
		}
		return true
	})
	return uses
}

func impure(imported, name string) bool {
	switch imported {
	case "time":
		return slices.Contains(clock, name)
	case "math/rand", "math/rand/v2":
		return !slices.Contains(seeded, name)
	}
	return false
}
