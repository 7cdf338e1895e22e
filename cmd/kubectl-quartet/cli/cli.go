// Package cli holds the commands of kubectl-quartet: what they ask, of whom, and
// how the answer reads. Reasons are rendered from decisions and never computed
// here; replaying is the ledger's and the pure packages' business.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// Streams are a command's input and output.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// Unwrap gives the cause.
func (e usageError) Unwrap() error { return e.error }

// silentError ends a command with exit code 1 after it has said why by itself.
type silentError struct{ error }

// Unwrap gives the cause.
func (e silentError) Unwrap() error { return e.error }

// Main runs the program with its arguments (the program's name first) and
// returns the exit code: 2 where the command line is wrong, 1 where the command
// failed or found what it was looking for, such as a difference.
func Main(args []string, streams Streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := NewCommand(streams)
	if isPlugin(args[0]) {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl quartet"}
	}
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	var usage usageError
	var silent silentError
	switch {
	case err == nil:
		return runtimeflags.ExitSuccess
	case errors.As(err, &silent):
		return runtimeflags.ExitFailure
	}
	_, _ = fmt.Fprintf(streams.Err, "error: %v\n", err)
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		_, _ = fmt.Fprintf(streams.Err, "See '%s --help'.\n", root.DisplayName())
		return runtimeflags.ExitBadFlags
	}
	return runtimeflags.ExitFailure
}

// isPlugin tells whether kubectl started the program: it finds plugins by the
// name kubectl-quartet, and says so by no other means than its own name in _.
func isPlugin(program string) bool {
	return filepath.Base(program) == "kubectl-quartet" && filepath.Base(os.Getenv("_")) == "kubectl"
}

// NewCommand makes the whole tree of commands.
func NewCommand(streams Streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-quartet",
		Short:         "Ask Quartet why it scaled, and replay what it decided",
		Long:          "kubectl-quartet asks the autoscalers of the Quartet suite what they decided and why,\nand runs recorded decisions again. Installed on the path it is also `kubectl quartet`.",
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newExplain(), newMetric(), newReplay(), newDemo(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "kubectl-quartet", buildinfo.Get())
			return err
		},
	}
}

// noArgs refuses arguments with a usageError.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %q for %q", args[0], cmd.CommandPath())}
	}
	return nil
}

// oneArg wants exactly one argument, and calls it what.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s wants exactly one %s, not %d", cmd.CommandPath(), what, len(args))}
		}
		return nil
	}
}
