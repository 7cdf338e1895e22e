package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// module is the path of the module that a checkout holds.
const module = "github.com/quartet-autoscaling/quartet"

// endGrace is how long the demo may take to put everything away.
const endGrace = 30 * time.Second

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo [-- ARGUMENTS]",
		Short: "Run the demo from a clone: a real queue that scales real workers",
		Long: "demo builds and runs test/demo of the clone that the current folder is in, as `make demo`\n" +
			"does. Arguments are handed on, for example: kubectl quartet demo --headless --duration 4m",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			here, err := os.Getwd()
			if err != nil {
				return fmt.Errorf("find the current folder: %w", err)
			}
			root, err := findClone(here)
			if err != nil {
				return err
			}
			return runDemo(cmd, root, args)
		},
	}
}

// findClone walks up from the folder to the one with the module's go.mod.
func findClone(folder string) (string, error) {
	for at := folder; ; at = filepath.Dir(at) {
		if holdsModule(filepath.Join(at, "go.mod")) {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not inside a clone of %s: clone it, and run the demo there", folder, module)
		}
	}
}

func holdsModule(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "module "); ok {
			return strings.TrimSpace(name) == module
		}
	}
	return false
}

// runDemo builds the demo and runs it. It is not `go run`, which would end at
// SIGTERM and leave the demo behind.
func runDemo(cmd *cobra.Command, root string, args []string) (err error) {
	folder, err := os.MkdirTemp("", "quartet-demo-")
	if err != nil {
		return fmt.Errorf("make a folder to build the demo in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	program := filepath.Join(folder, "demo")
	if err := runIn(cmd, root, "go", "build", "-o", program, "./test/demo"); err != nil {
		return fmt.Errorf("build the demo: %w", err)
	}
	if err := runIn(cmd, root, program, args...); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			// The demo has said why.
			return silentError{err}
		}
		return fmt.Errorf("run the demo: %w", err)
	}
	return nil
}

// runIn runs a program in the folder with the command's streams. When the
// command's context ends, the program is asked to end, and given time to.
func runIn(cmd *cobra.Command, folder, program string, args ...string) error {
	run := exec.CommandContext(cmd.Context(), program, args...)
	run.Dir = folder
	run.Env = append(os.Environ(), "CGO_ENABLED=0")
	run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) }
	run.WaitDelay = endGrace
	err := run.Run()
	if errors.Is(err, context.Canceled) {
		return silentError{err}
	}
	return err
}
