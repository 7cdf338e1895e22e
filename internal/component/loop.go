package component

import (
	"context"
	"log/slog"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// OpenLedger opens the ledger in the folder of --ledger-dir; without one it gives
// nil. The frame closes it when the work has ended.
func OpenLedger[S any, T any, D decision.Value](f *Frame) (*ledger.Writer[S, T, D], error) {
	if f.Flags.LedgerDir == "" {
		return nil, nil
	}
	w, err := ledger.Open[S, T, D](ledger.Config{
		Dir: f.Flags.LedgerDir, Component: f.name, Build: buildinfo.Get().String(),
	})
	if err != nil {
		return nil, err
	}
	f.closers = append(f.closers, w.Close)
	return w, nil
}

// NewLoop makes a live loop: by the real clock, recorded in the ledger where there
// is one, and with a log of what the ledger could not take.
func NewLoop[S any, T any, D decision.Value](ctx context.Context, c loop.Config[S, T, D], w *ledger.Writer[S, T, D]) (*loop.Loop[S, T, D], error) {
	c.Clock = clock.RealClock{}
	c.OnRecordError = func(err error) {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not record", slog.Any("error", err))
	}
	if w != nil {
		c.Recorder = w
	}
	return loop.New(c)
}
