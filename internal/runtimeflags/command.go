package runtimeflags

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// The exit codes of every binary.
const (
	ExitSuccess  = 0
	ExitFailure  = 1
	ExitBadFlags = 2
)

// Options are flags that belong together, with their check.
type Options interface {
	AddFlags(fs *pflag.FlagSet)
	// Validate returns the first flag that cannot be used, named in the error.
	Validate() error
}

// Command is one long-running binary of the suite.
type Command struct {
	// Name is the binary's, for example "hpa-controller".
	Name string
	// Short says in one sentence what it does.
	Short string
	Flags *Flags
	// Options are the component's own, besides Flags.
	Options []Options
	// Run works until the context ends, and returns nil then. It is called with
	// flags that are valid and with logging in place.
	Run func(ctx context.Context) error
	// GarbagePercent is how much the memory may grow over what is in use before the
	// garbage is collected, where GOGC does not say; 0 leaves it at Go's 100. It is for
	// binaries whose memory is in objects that live long: collecting sooner costs them
	// little.
	GarbagePercent int
}

// FlagSet gives all flags of the command, for parsing and for the generated
// reference. Call it once for a command: each call registers the flags anew.
func (c *Command) FlagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	fs.SortFlags = true
	c.Flags.AddFlags(fs)
	for _, options := range c.Options {
		options.AddFlags(fs)
	}
	return fs
}

// Main is a binary's whole main function: it parses and checks the arguments
// (without the program's name), installs logging, runs until SIGTERM or
// interrupt, and returns the exit code. A second signal ends the process at
// once.
func (c *Command) Main(args []string, stdout, stderr io.Writer) int {
	fs := c.FlagSet()
	fs.SetOutput(stderr)
	fs.Usage = func() {}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			_, _ = fmt.Fprintf(stdout, "%s: %s\n\nUsage:\n  %s [flags]\n\nFlags:\n%s", c.Name, c.Short, c.Name, fs.FlagUsages())
			return ExitSuccess
		}
		return c.badFlags(stderr, err)
	}
	if c.Flags.ShowVersion {
		_, _ = fmt.Fprintln(stdout, c.Name, buildinfo.Get())
		return ExitSuccess
	}
	if fs.NArg() > 0 {
		return c.badFlags(stderr, fmt.Errorf("unexpected argument %q", fs.Arg(0)))
	}
	if err := c.validate(); err != nil {
		return c.badFlags(stderr, err)
	}
	return c.run(stderr)
}

func (c *Command) validate() error {
	if err := c.Flags.Validate(); err != nil {
		return err
	}
	for _, options := range c.Options {
		if err := options.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Command) badFlags(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "%s: %v\nSee %s --help.\n", c.Name, err, c.Name)
	return ExitBadFlags
}

func (c *Command) run(stderr io.Writer) int {
	logger, err := telemetry.InstallLogging(stderr, c.Flags.LogFormat, c.Flags.LogLevel)
	if err != nil {
		return c.badFlags(stderr, err)
	}
	if err := telemetry.Registry.Register(telemetry.BuildInfo(c.Name)); err != nil {
		logger.Error(err, "Could not register the build's metric")
	}
	ctx, stop := signalContext()
	defer stop()

	logger.Info("Starting", "component", c.Name, "build", buildinfo.Get().String(), "mode", c.Flags.Mode)
	if c.GarbagePercent > 0 && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(c.GarbagePercent)
	}
	if err := c.Run(logr.NewContext(ctx, logger)); err != nil {
		logger.Error(err, "Failed", "component", c.Name)
		return ExitFailure
	}
	logger.Info("Stopped", "component", c.Name)
	return ExitSuccess
}

// signalContext ends with the first SIGTERM or interrupt. From then on signals
// have their usual effect again, so that a second one kills.
func signalContext() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
