package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// KubernetesVersion is what the built Kubernetes programs report. It is the version that test/lab/binaries pins.
const KubernetesVersion = "v1.37.2"

// The programs of a lab by the names of their files.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubectl           = "kubectl"
	Kwok              = "kwok"
	MetricsServer     = "metrics-server"
	Helm              = "helm"
)

// pinnedPrograms are built in this order: the longest first, because the others share most of what it compiles.
var pinnedPrograms = []struct{ name, pkg string }{
	{APIServer, "k8s.io/kubernetes/cmd/kube-apiserver"},
	{ControllerManager, "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{Scheduler, "k8s.io/kubernetes/cmd/kube-scheduler"},
	{Etcd, "go.etcd.io/etcd/server/v3"},
	{Kubectl, "k8s.io/kubernetes/cmd/kubectl"},
	{Kwok, "sigs.k8s.io/kwok/cmd/kwok"},
	{MetricsServer, "sigs.k8s.io/metrics-server/cmd/metrics-server"},
	{Helm, "helm.sh/helm/v4/cmd/helm"},
}

// linkFlags make the Kubernetes programs report their version; without symbol tables the folder is a third smaller.
const linkFlags = "-s -w -X k8s.io/component-base/version.gitVersion=" + KubernetesVersion +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"

// unusedAfter is how long a set of programs that nobody asked for stays in the cache.
const unusedAfter = 30 * 24 * time.Hour

// Programs are the pinned programs, built.
type Programs struct {
	dir string
}

// Path returns the file of a program, one of the names of this package.
func (p Programs) Path(name string) string { return filepath.Join(p.dir, name) }

// KwokStages returns the file with kwok's stages, its resource metrics and its usage by annotation, for `--config`.
func (p Programs) KwokStages() string { return filepath.Join(p.dir, kwokStagesFile) }

// Pinned returns the programs that test/lab/binaries pins, and builds them first if the cache does not hold them:
// minutes from cold. Progress is written to out, a line at a time; out may be nil.
func Pinned(ctx context.Context, out io.Writer) (Programs, error) {
	root, err := ModuleRoot()
	if err != nil {
		return Programs{}, err
	}
	module := filepath.Join(root, "test", "lab", "binaries")
	key, err := contentKey(ctx, module)
	if err != nil {
		return Programs{}, err
	}
	cache, err := CacheDir()
	if err != nil {
		return Programs{}, err
	}
	store := filepath.Join(cache, "binaries")
	if err := os.MkdirAll(store, 0o755); err != nil {
		return Programs{}, fmt.Errorf("creating the folder for the lab's programs: %w", err)
	}
	b := pinnedBuild{module: module, dir: filepath.Join(store, key), out: out}
	if !b.complete() {
		if b.supervise, err = Supervise(ctx, out); err != nil {
			return Programs{}, err
		}
		if err := b.buildLocked(ctx); err != nil {
			return Programs{}, err
		}
		removeUnused(store, key)
	}
	now := time.Now()
	_ = os.Chtimes(b.dir, now, now) // When it was last asked for; a read-only cache works as well.
	return Programs{dir: b.dir}, nil
}

// contentKey names everything that the programs are made from.
func contentKey(ctx context.Context, module string) (string, error) {
	version, err := goCommand{Dir: module, Args: []string{"env", "GOVERSION"}}.run(ctx)
	if err != nil {
		return "", fmt.Errorf("asking for the version of Go: %w", err)
	}
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", fmt.Errorf("reading the pins of the lab's programs: %w", err)
		}
		_, _ = hash.Write(content)
	}
	_, _ = fmt.Fprintln(hash, version, runtime.GOOS, runtime.GOARCH, linkFlags, pinnedPrograms, kwokStageFiles)
	return hex.EncodeToString(hash.Sum(nil))[:20], nil
}

// pinnedBuild brings one folder of programs into being.
type pinnedBuild struct {
	module    string // the folder of the module with the pins
	dir       string // where the complete folder goes
	supervise string // the supervisor's program
	out       io.Writer
}

func (b pinnedBuild) complete() bool {
	_, err := os.Stat(b.dir)
	return err == nil
}

// buildLocked builds while holding the lock of this content. The unfinished folder stays after a failure, so that
// the next run goes on where this one stopped.
func (b pinnedBuild) buildLocked(ctx context.Context) error {
	held, err := lock(ctx, b.dir+".lock", func() { say(b.out, "another process builds the control plane, waiting") })
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	if b.complete() {
		return nil
	}
	partial, temp := b.dir+".partial", b.dir+".tmp"
	if err := os.RemoveAll(temp); err != nil {
		return fmt.Errorf("removing an interrupted build: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	for _, dir := range []string{partial, temp} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("creating a folder to build in: %w", err)
		}
	}
	start := time.Now()
	say(b.out, "building the control plane once into %s (some minutes on a cold machine)", b.dir)
	for i := range pinnedPrograms {
		if err := b.buildOne(ctx, i, partial, temp); err != nil {
			return err
		}
	}
	if err := writeKwokStages(ctx, b.module, partial); err != nil {
		return err
	}
	if err := os.Rename(partial, b.dir); err != nil {
		return fmt.Errorf("putting the built programs into place: %w", err)
	}
	say(b.out, "built the control plane in %s", elapsed(start))
	return nil
}

func (b pinnedBuild) buildOne(ctx context.Context, index int, partial, temp string) error {
	program := pinnedPrograms[index]
	final := filepath.Join(partial, program.name)
	if _, err := os.Stat(final); err == nil {
		return nil
	}
	start := time.Now()
	say(b.out, "building %s (%d of %d)", program.name, index+1, len(pinnedPrograms))
	unfinished := filepath.Join(temp, program.name)
	build := goCommand{
		Dir:       b.module,
		TempDir:   temp,
		Supervise: b.supervise,
		Args:      []string{"build", "-buildvcs=false", "-ldflags", linkFlags, "-o", unfinished, program.pkg},
	}
	if err := build.runWithHeartbeat(ctx, b.out, program.name); err != nil {
		return fmt.Errorf("building %s: %w", program.name, err)
	}
	if err := os.Rename(unfinished, final); err != nil {
		return fmt.Errorf("keeping the built %s: %w", program.name, err)
	}
	say(b.out, "built %s in %s", program.name, elapsed(start))
	return nil
}

// removeUnused drops the sets of other pins and other versions of Go that nobody asked for in a long time. What
// cannot be removed stays: the cache is only larger for it.
func removeUnused(store, key string) {
	entries, err := os.ReadDir(store)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || strings.HasPrefix(entry.Name(), key) || time.Since(info.ModTime()) < unusedAfter {
			continue
		}
		_ = os.RemoveAll(filepath.Join(store, entry.Name()))
	}
}
