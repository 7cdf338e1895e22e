package toolchain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// heartbeat is how often a long build says that it is still alive.
	heartbeat = 10 * time.Second
	// interruptGrace is what an interrupted `go` gets to remove its temporary folder.
	interruptGrace = 10 * time.Second
)

// goCommand is one run of the go tool.
type goCommand struct {
	Dir     string // the working folder, which decides the module
	TempDir string // an existing folder for the tool's temporary files; empty: no files are expected
	Args    []string
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
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "PWD="+c.Dir)
	if c.TempDir != "" {
		cmd.Env = append(cmd.Env, "GOTMPDIR="+c.TempDir)
	}
	cmd.SysProcAttr = dieWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = interruptGrace
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("go %s: %w%s", strings.Join(c.Args, " "), err, lastLines(stderr.String(), 20))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// runWithHeartbeat runs the command and writes a line to out whenever another while has passed.
func (c goCommand) runWithHeartbeat(ctx context.Context, out io.Writer, what string) error {
	done := make(chan error, 1)
	start := time.Now()
	go func() {
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
