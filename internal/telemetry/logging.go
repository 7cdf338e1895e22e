// Package telemetry is how every binary of the suite logs and exposes metrics:
// one structured log for our own code, controller-runtime, klog and the
// standard library, and one gatherer over all registries. It defines no metric
// of a component, and traces are not its business.
package telemetry

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// The formats of a log line.
const (
	FormatJSON = "json"
	FormatText = "text"
)

// debugVerbosity is the klog verbosity that --log-level=debug stands for. slog's
// Debug is four below Info, and logr maps V(4) to it.
const debugVerbosity = 4

// ParseLevel turns debug, info, warn, error, or a klog verbosity of 0 or more
// (2 is like klog's -v=2) into the least level that is logged. Verbosity n is
// the level -n.
func ParseLevel(level string) (slog.Level, error) {
	switch strings.ToLower(level) {
	case "debug":
		return -debugVerbosity, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	verbosity, err := strconv.Atoi(level)
	if err != nil || verbosity < 0 || verbosity > 10 {
		return 0, fmt.Errorf("%q is none of debug, info, warn, error, nor a verbosity from 0 to 10", level)
	}
	return slog.Level(-verbosity), nil
}

// CheckFormat refuses a format that no log line can have.
func CheckFormat(format string) error {
	if format != FormatJSON && format != FormatText {
		return fmt.Errorf("%q is neither %s nor %s", format, FormatJSON, FormatText)
	}
	return nil
}

// NewHandler makes the handler that writes lines of the format to w, from level
// up.
func NewHandler(w io.Writer, format string, level slog.Level) (slog.Handler, error) {
	if err := CheckFormat(format); err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readableLevel}
	if format == FormatText {
		return slog.NewTextHandler(w, options), nil
	}
	return slog.NewJSONHandler(w, options), nil
}

// readableLevel writes levels in lower case, and those between the named ones,
// which come from logr's verbosities, as debug.
func readableLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 || a.Key != slog.LevelKey {
		return a
	}
	level, ok := a.Value.Any().(slog.Level)
	if !ok {
		return a
	}
	switch {
	case level < slog.LevelInfo:
		a.Value = slog.StringValue("debug")
	case level < slog.LevelWarn:
		a.Value = slog.StringValue("info")
	case level < slog.LevelError:
		a.Value = slog.StringValue("warn")
	default:
		a.Value = slog.StringValue("error")
	}
	return a
}

// InstallLogging makes the log of the whole process go to w: slog's default,
// the standard log package, klog and controller-runtime. It returns the logr
// view of the same log. It is called once, before anything else starts.
func InstallLogging(w io.Writer, format, level string) (logr.Logger, error) {
	least, err := ParseLevel(level)
	if err != nil {
		return logr.Discard(), err
	}
	handler, err := NewHandler(w, format, least)
	if err != nil {
		return logr.Discard(), err
	}
	slog.SetDefault(slog.New(handler))
	logger := logr.FromSlogHandler(handler)
	ctrllog.SetLogger(logger)
	if err := redirectKlog(logger, least); err != nil {
		return logr.Discard(), err
	}
	return logger, nil
}

// redirectKlog hands klog's lines to the logger. klog judges a line's verbosity
// by its own flag before the logger sees it, so that flag must follow.
func redirectKlog(logger logr.Logger, least slog.Level) error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	if err := flags.Set("v", strconv.Itoa(max(0, -int(least)))); err != nil {
		return fmt.Errorf("set klog's verbosity: %w", err)
	}
	klog.SetLoggerWithOptions(logger, klog.ContextualLogger(true))
	return nil
}

// Logger is the logger that the context carries, or the process's own.
func Logger(ctx context.Context) *slog.Logger {
	if handed, err := logr.FromContext(ctx); err == nil {
		return slog.New(logr.ToSlogHandler(handed))
	}
	return slog.Default()
}
