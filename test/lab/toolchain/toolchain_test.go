package toolchain_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

func TestPinnedProgramsReportTheirVersion(t *testing.T) {
	programs, err := toolchain.Pinned(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		toolchain.APIServer:         {"--version"},
		toolchain.ControllerManager: {"--version"},
		toolchain.Scheduler:         {"--version"},
		toolchain.Kubectl:           {"version", "--client"},
	} {
		out, err := exec.CommandContext(t.Context(), programs.Path(name), args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), toolchain.KubernetesVersion) {
			t.Errorf("%s %v printed %q, %v; want %s in it", name, args, out, err, toolchain.KubernetesVersion)
		}
	}
	for _, name := range []string{toolchain.Etcd, toolchain.Kwok, toolchain.MetricsServer, toolchain.Helm} {
		if info, err := os.Stat(programs.Path(name)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s is not a program: %v, %v", name, info, err)
		}
	}
	stages, err := os.ReadFile(programs.KwokStages())
	if err != nil || !strings.Contains(string(stages), "ClusterResourceUsage") {
		t.Errorf("kwok's stages have no usage: %v", err)
	}
}

func TestCommandsAreReplacedNotRewritten(t *testing.T) {
	t.Setenv(toolchain.CacheVariable, t.TempDir())
	const pkg = "./test/lab/toolchain/testdata/hello"
	build := func() os.FileInfo {
		t.Helper()
		programs, err := toolchain.Commands(t.Context(), nil, pkg)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(programs["hello"])
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), programs["hello"]).Output(); err != nil || string(out) != "hello\n" {
			t.Fatalf("the program printed %q, %v", out, err)
		}
		return info
	}
	first, second := build(), build()
	if !os.SameFile(first, second) {
		t.Error("a program that did not change was replaced")
	}
	cache, err := toolchain.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "checkouts", "*", "tmp")); len(left) > 0 {
		t.Errorf("a build left %v", left)
	}
}

func TestCommandsThatDoNotCompileSayWhy(t *testing.T) {
	t.Setenv(toolchain.CacheVariable, t.TempDir())
	_, err := toolchain.Commands(t.Context(), nil, "./test/lab/toolchain/testdata/broken")
	if err == nil || !strings.Contains(err.Error(), "undefined: nothing") {
		t.Errorf("error is %v; want the compiler's words in it", err)
	}
}

func TestTryLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := toolchain.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := toolchain.TryLock(path); !errors.Is(err, toolchain.ErrLocked) {
		t.Errorf("a second lock gave %v, want ErrLocked", err)
	}
	_ = held.Close()
	again, err := toolchain.TryLock(path)
	if err != nil {
		t.Fatalf("after the first was freed: %v", err)
	}
	_ = again.Close()
}
