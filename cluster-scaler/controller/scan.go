package controller

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

const (
	// grace is how long a turn that runs when the work ends may go on: long enough
	// to finish a write, shorter than the time until another replica may lead.
	grace = 3 * time.Second
	// gather is how long a plan waits after a pod became unschedulable, for those
	// that follow it.
	gather = 300 * time.Millisecond
)

type turns = loop.Loop[nodepool.Snapshot, plan.State, plan.Decision]

// scanner has a plan made once an interval, and soon after a pod became
// unschedulable.
type scanner struct {
	interval time.Duration
	clock    clock.WithTicker
	loop     *turns
	took     func(time.Duration)
	// woken has room for one: further calls before the plan change nothing.
	woken chan struct{}
}

// wake asks for a plan ahead of time.
func (s *scanner) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// run plans until the context ends and the running turn has.
func (s *scanner) run(ctx context.Context) error {
	turning, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	ticker := s.clock.NewTicker(s.interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		s.turn(turning)
		select {
		case <-ctx.Done():
		case <-ticker.C():
		case <-s.woken:
			select {
			case <-ctx.Done():
			case <-s.clock.After(min(gather, s.interval)):
			}
		}
	}
	return nil
}

func (s *scanner) turn(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "A turn panicked",
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	start := s.clock.Now()
	if _, _, err := s.loop.Turn(withVisit(ctx, &visit{}), plan.Unit); err != nil {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not observe", slog.Any("error", err))
		return
	}
	s.took(s.clock.Since(start))
}
