// Command generate makes the files that are derived from the code: deep copies
// of the API types, the CRDs of the chart, ours and those of upstream's types
// that we use, and the flag reference in docs/flags.
// With --check it writes nothing and fails where a file is not what it would
// make. It imports none of the product, so that it works while the product does
// not compile for want of what it makes.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// output is one folder's worth of generated files.
type output struct {
	// dir is the folder below the module's root.
	dir string
	// glob matches the generated files among the others of the folder.
	glob string
	// command makes them in the folder that is appended to the last argument.
	command []string
	// upstream, in place of the command, is a file of a required module that is
	// taken over as it is.
	upstream *moduleFile
}

// Deep copies come first: the programs of the others may not compile without.
var outputs = []output{
	{
		dir: "api/v1alpha1", glob: "zz_generated.*.go",
		command: []string{
			"go", "tool", "-modfile=hack/tools/controller-gen/go.mod", "controller-gen",
			"object", "paths=./api/...", "output:object:dir=",
		},
	},
	{
		dir: "deploy/helm/quartet/files/crds", glob: "*.yaml",
		command: []string{
			"go", "tool", "-modfile=hack/tools/controller-gen/go.mod", "controller-gen",
			"crd", "paths=./api/...", "output:crd:dir=",
		},
	},
	{
		// The CRDs that kubectl-quartet checks drafts by.
		dir: "api/crds", glob: "*metricsources.yaml",
		command: []string{
			"go", "tool", "-modfile=hack/tools/controller-gen/go.mod", "controller-gen",
			"crd", "paths=./api/v1alpha1/...", "output:crd:dir=",
		},
	},
	{
		dir: "deploy/helm/quartet/files/crds/vpa", glob: "*.yaml",
		upstream: &moduleFile{module: "k8s.io/autoscaler/vertical-pod-autoscaler", path: "deploy/vpa-v1-crd-gen.yaml"},
	},
	{
		dir: "docs/flags", glob: "*.md",
		command: []string{"go", "run", "./hack/flagdocs", "--dir="},
	},
}

func main() {
	check := flag.Bool("check", false, "fail where a generated file is not current, and write nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := generate(ctx, *check)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context, check bool) error {
	temp, err := os.MkdirTemp("", "quartet-generate-")
	if err != nil {
		return fmt.Errorf("make a folder to generate into: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // what stays is in the system's temporary folder
	var stale []string
	for i, out := range outputs {
		dir := filepath.Join(temp, fmt.Sprint(i))
		if err := out.make(ctx, dir); err != nil {
			return err
		}
		names, err := out.differing(dir)
		if err != nil {
			return err
		}
		stale = append(stale, names...)
		if check {
			continue
		}
		if err := out.install(dir, names); err != nil {
			return err
		}
	}
	if check && len(stale) > 0 {
		return fmt.Errorf("these files are not current; run `make generate` and commit them:\n  %s", strings.Join(stale, "\n  "))
	}
	for _, name := range stale {
		fmt.Println("wrote", name)
	}
	return nil
}

// make fills an empty folder.
func (o output) make(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder to generate into: %w", err)
	}
	if o.upstream != nil {
		return o.upstream.copyTo(ctx, dir)
	}
	args := slices.Clone(o.command)
	args[len(args)-1] += dir
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("generate %s with %s: %w", o.dir, strings.Join(o.command, " "), err)
	}
	return nil
}

// differing lists the files, relative to the module's root, that are missing,
// different, or no longer made.
func (o output) differing(dir string) ([]string, error) {
	names := map[string]bool{}
	for _, from := range []string{dir, o.dir} {
		files, err := filepath.Glob(filepath.Join(from, o.glob))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			names[filepath.Base(file)] = true
		}
	}
	var differing []string
	for name := range names {
		want, errWant := os.ReadFile(filepath.Join(dir, name))
		have, errHave := os.ReadFile(filepath.Join(o.dir, name))
		missing := errors.Is(errWant, fs.ErrNotExist) || errors.Is(errHave, fs.ErrNotExist)
		if err := errors.Join(errWant, errHave); err != nil && !missing {
			return nil, fmt.Errorf("compare %s: %w", name, err)
		}
		if missing || !bytes.Equal(want, have) {
			differing = append(differing, filepath.Join(o.dir, name))
		}
	}
	slices.Sort(differing)
	return differing, nil
}

// install brings the named files into the tree, or removes those that are no
// longer made.
func (o output) install(dir string, names []string) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", o.dir, err)
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)))
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(name)
		} else if err == nil {
			err = os.WriteFile(name, content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}
