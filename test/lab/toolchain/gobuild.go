package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

const (
	// heartbeat is how often a long build says that it is still alive.
	heartbeat = 10 * time.Second
	// interruptGrace is what an interrupted `go` gets to remove its temporary folder.
	interruptGrace = 10 * time.Second
)

// goCommand is one run of the go tool.
type goCommand struct {
	Dir       string // the working folder, which decides the module
	TempDir   string // an existing folder for the tool's temporary files; empty: no files are expected
	Supervise string // the supervisor's program, for what takes long; empty: the command runs without
	Args      []string
}

// run returns the standard output. A failure carries the last lines of the standard error.
func (c goCommand) run(ctx context.Context) (string, error) {
	// The parent-death signal below follows the thread that starts the process, so that one has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", c.Args...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = c.environment(c.TempDir)
	cmd.SysProcAttr = dieWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = interruptGrace
	if err := cmd.Run(); err != nil {
		return "", c.failure(ctx, err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// runSupervised runs the command so that its compilers and linkers end with this program as well, even if that is
// killed: they are children of the go tool, whose own death they would outlive.
func (c goCommand) runSupervised(ctx context.Context) error {
	program, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("finding go: %w", err)
	}
	temp, err := os.MkdirTemp(c.TempDir, "go-")
	if err != nil {
		return fmt.Errorf("creating a folder to build in: %w", err)
	}
	s, err := supervisor.New(supervisor.Config{
		Program: c.Supervise, Dir: temp, Log: filepath.Join(temp, "supervise.log"),
	})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	log := filepath.Join(temp, "go.log")
	build, err := s.Run(supervisor.Spec{Path: program, Args: c.Args, Env: c.environment(temp), Dir: c.Dir, Log: log})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return c.failure(ctx, nil, "")
	case <-build.Done():
	}
	if exit := build.Exit(); exit != (supervisor.Exit{}) {
		content, _ := os.ReadFile(log)
		return c.failure(ctx, errors.New("it "+exit.String()), string(content))
	}
	return nil
}

func (c goCommand) environment(temp string) []string {
	env := append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "PWD="+c.Dir)
	if temp != "" {
		env = append(env, "GOTMPDIR="+temp)
	}
	return env
}

func (c goCommand) failure(ctx context.Context, err error, output string) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("go %s: %w%s", strings.Join(c.Args, " "), err, lastLines(output, 20))
}

// runWithHeartbeat runs the command and writes a line to out whenever another while has passed.
func (c goCommand) runWithHeartbeat(ctx context.Context, out io.Writer, what string) error {
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		if c.Supervise != "" {
			done <- c.runSupervised(ctx)
			return
		}
		_, err := c.run(ctx)
		done <- err
	}()
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
			say(out, "still building %s, %s so far", what, elapsed(start))
		}
	}
}

func say(out io.Writer, format string, args ...any) {
	if out != nil {
		_, _ = fmt.Fprintf(out, "lab: "+format+"\n", args...)
	}
}

func elapsed(start time.Time) time.Duration { return time.Since(start).Round(100 * time.Millisecond) }

func lastLines(text string, n int) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "\n" + strings.Join(lines, "\n")
}
