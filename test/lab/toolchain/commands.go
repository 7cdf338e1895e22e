package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// slowBuild is how long a build of our own commands may take before it is worth a line.
const slowBuild = 5 * time.Second

// crcTable tells two builds of one program apart; nobody forges them.
var crcTable = crc64.MakeTable(crc64.ECMA)

// SupervisePackage is the command that package supervisor is the client of.
const SupervisePackage = "./test/lab/supervisor/supervise"

// Supervise returns the program of SupervisePackage.
func Supervise(ctx context.Context, out io.Writer) (string, error) {
	programs, err := Commands(ctx, out, SupervisePackage)
	return programs[path.Base(SupervisePackage)], err
}

// Commands builds main packages of this checkout, given as "./cmd/hpa-controller", and returns the path of each
// program by its name, the last element of the package. `go build` is asked every time, which is quick when nothing
// changed. A program that runs meanwhile keeps its own file.
func Commands(ctx context.Context, out io.Writer, packages ...string) (map[string]string, error) {
	return commandsOf(ctx, out, ".", packages...)
}

// commandsOf does so for packages that a nested module of this checkout knows, by the module's folder.
func commandsOf(ctx context.Context, out io.Writer, module string, packages ...string) (map[string]string, error) {
	if len(packages) == 0 {
		return map[string]string{}, nil
	}
	root, err := ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := checkoutDir(root)
	if err != nil {
		return nil, err
	}
	held, err := lock(ctx, filepath.Join(dir, "lock"), func() { say(out, "another process builds this checkout, waiting") })
	if err != nil {
		return nil, err
	}
	defer func() { _ = held.Close() }()

	temp, stage, bin := filepath.Join(dir, "tmp"), filepath.Join(dir, "stage"), filepath.Join(dir, "bin")
	if err := os.RemoveAll(temp); err != nil {
		return nil, fmt.Errorf("removing an interrupted build: %w", err)
	}
	for _, d := range []string{temp, stage, bin} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("creating a folder to build in: %w", err)
		}
	}
	defer func() { _ = os.RemoveAll(temp) }()
	b := commandBuild{root: root, temp: temp, stage: stage, bin: bin, packages: []string{SupervisePackage}}
	programs, err := buildInto(ctx, out, b)
	if err != nil || slices.Equal(packages, b.packages) {
		return programs, err
	}
	b.supervise, b.packages = programs[path.Base(SupervisePackage)], packages
	b.root = filepath.Join(root, filepath.FromSlash(module))
	return buildInto(ctx, out, b)
}

// checkoutDir is the cache folder of one checkout: two checkouts on a machine do not overwrite each other.
func checkoutDir(root string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(root))
	dir := filepath.Join(cache, "checkouts", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("creating the checkout's cache folder: %w", err)
	}
	return dir, nil
}

// commandBuild names the folders of one build: `go build` keeps its results in stage, where it finds again what is
// still current, and bin holds copies that are replaced by a rename and so never change under a running program.
type commandBuild struct {
	root, temp, stage, bin string // root is the module's
	supervise              string // the supervisor's program, unless it is that one which is built
	packages               []string
}

func buildInto(ctx context.Context, out io.Writer, b commandBuild) (map[string]string, error) {
	start := time.Now()
	names := make([]string, len(b.packages))
	for i, pkg := range b.packages {
		names[i] = path.Base(pkg)
	}
	what := strings.Join(names, ", ")
	// Without what only a debugger reads: linking takes half as long.
	args := append([]string{"build", "-buildvcs=false", "-ldflags=-w", "-o", b.stage + string(filepath.Separator)}, b.packages...)
	build := goCommand{Dir: b.root, TempDir: b.temp, Supervise: b.supervise, Args: args}
	if err := build.runWithHeartbeat(ctx, out, what); err != nil {
		return nil, fmt.Errorf("building %s: %w", what, err)
	}
	if time.Since(start) > slowBuild {
		say(out, "built %s in %s", what, elapsed(start))
	}
	programs := map[string]string{}
	for _, name := range names {
		final := filepath.Join(b.bin, name)
		if err := refresh(filepath.Join(b.stage, name), final, filepath.Join(b.temp, name)); err != nil {
			return nil, fmt.Errorf("putting %s into place: %w", name, err)
		}
		programs[name] = final
	}
	return programs, nil
}

// refresh makes final a copy of source, through a temporary file and a rename, unless it is one already. The times
// say nothing: `go build` touches a file that it finds current.
func refresh(source, final, temp string) error {
	same, err := sameContent(source, final)
	if err != nil || same {
		return err
	}
	if err := copyFile(source, temp); err != nil {
		return err
	}
	return os.Rename(temp, final)
}

// sameContent reports whether final exists and equals source.
func sameContent(source, final string) (bool, error) {
	from, err := os.Stat(source)
	if err != nil {
		return false, err
	}
	if to, err := os.Stat(final); err != nil || to.Size() != from.Size() {
		return false, nil
	}
	want, err := fileSum(source)
	if err != nil {
		return false, err
	}
	got, err := fileSum(final)
	return err == nil && got == want, nil
}

func fileSum(name string) (uint64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	sum := crc64.New(crcTable)
	if _, err := io.Copy(sum, file); err != nil {
		return 0, err
	}
	return sum.Sum64(), nil
}

func copyFile(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
