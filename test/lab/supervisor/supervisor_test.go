package supervisor_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// limit is how long anything of these tests may take on a busy machine.
const limit = 20 * time.Second

func build(t *testing.T) (supervise, daemonize string) {
	t.Helper()
	programs, err := toolchain.Commands(t.Context(), nil,
		toolchain.SupervisePackage, "./test/lab/supervisor/testdata/daemonize")
	if err != nil {
		t.Fatal(err)
	}
	return programs["supervise"], programs["daemonize"]
}

func TestNothingSurvivesAParentKilledWithNine(t *testing.T) {
	supervise, daemonize := build(t)
	dir, pids := filepath.Join(t.TempDir(), "lab"), t.TempDir()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(daemonize, "parent", supervise, dir, pids)
	parent.Stderr = os.Stderr
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill() })
	var running []int
	for _, name := range []string{"supervisor", "parent", "daemon", "second-daemon"} {
		running = append(running, awaitPID(t, filepath.Join(pids, name)))
	}
	for _, pid := range running {
		if !alive(pid) {
			t.Fatalf("process %d is not running to begin with", pid)
		}
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for _, pid := range running {
		eventually(t, "process "+strconv.Itoa(pid)+" to be gone", func() bool { return !alive(pid) })
	}
	eventually(t, "the folder to be gone", func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, os.ErrNotExist)
	})
}

func TestChildrenGoWithASupervisorKilledWithNine(t *testing.T) {
	s := start(t)
	child := run(t, s, "sleep", "1000")
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child to be gone", func() bool { return !alive(child.PID()) })
	<-s.Gone()
	<-child.Done()
	if _, err := s.Run(supervisor.Spec{Path: "/bin/true", Log: os.DevNull}); !errors.Is(err, supervisor.ErrGone) {
		t.Errorf("running something afterwards gives %v, want ErrGone", err)
	}
}

func TestSupervisorStaysThroughSignalsToItsGroup(t *testing.T) {
	s := start(t)
	child := run(t, s, "sleep", "1000")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(-s.PID(), signal); err != nil {
			t.Fatal(err)
		}
	}
	if quick := run(t, s, "sh", "-c", "exit 3"); quick.Exit() != (supervisor.Exit{Code: 3}) {
		t.Errorf("a process that exits with 3 %s", quick.Exit())
	}
	if !alive(child.PID()) {
		t.Error("the child did not survive")
	}
	if err := child.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if want := (supervisor.Exit{Signal: syscall.SIGTERM}); child.Exit() != want {
		t.Errorf("the child %s, want SIGTERM: children must not inherit what the supervisor ignores", child.Exit())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestKeptFolderLosesOnlyWhatIsDropped(t *testing.T) {
	s := start(t)
	run(t, s, "sh", "-c", "mkdir data && echo words").Exit()
	if err := s.Keep("data"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(s.dir, "log")); err != nil || string(log) != "words\n" {
		t.Errorf("the log holds %q, %v", log, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was to be dropped is there: %v", err)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	s := start(t)
	_, err := s.Run(supervisor.Spec{Path: filepath.Join(s.dir, "missing"), Log: filepath.Join(s.dir, "log")})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error is %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// started is a supervisor over a folder.
type started struct {
	*supervisor.Supervisor
	dir string
}

// start starts a supervisor over a folder of its own, which goes with the test at the latest.
func start(t *testing.T) started {
	t.Helper()
	supervise, _ := build(t)
	dir := filepath.Join(t.TempDir(), "lab")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := supervisor.New(supervisor.Config{Program: supervise, Dir: dir, Log: filepath.Join(dir, "supervisor.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return started{s, dir}
}

func run(t *testing.T, s started, name string, args ...string) *supervisor.Process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Run(supervisor.Spec{Path: path, Args: args, Dir: s.dir, Log: filepath.Join(s.dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func awaitPID(t *testing.T, file string) int {
	t.Helper()
	pid := 0
	eventually(t, file, func() bool {
		content, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(string(content))
		}
		return err == nil
	})
	return pid
}

// alive reports whether a process exists and is not just waiting to be collected.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func eventually(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", limit, what)
		}
	}
}
