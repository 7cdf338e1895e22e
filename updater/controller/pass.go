package controller

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// grace is how long a pass that runs when the work ends may go on: long enough
// to finish an eviction, shorter than the time until another replica may lead.
const grace = 3 * time.Second

type turns = loop.Loop[eviction.Snapshot, eviction.State, eviction.Decision]

// passes turn every object once an interval, one after the other.
type passes struct {
	interval time.Duration
	clock    clock.WithTicker
	vpas     *vertical.Objects
	// serves tells whether objects of a namespace are looked at.
	serves  func(namespace string) bool
	loop    *turns
	metrics *metrics
	forget  func(decision.Unit)
	fleet   *fleet
	// last are the decisions of the last pass.
	last map[decision.Unit]eviction.Decision
}

// run passes until the context ends.
func (p *passes) run(ctx context.Context) error {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	ticker := p.clock.NewTicker(p.interval)
	defer ticker.Stop()
	for {
		p.pass(ctx, working)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// pass turns every object. It begins no turn once ctx has ended; working is what
// turns run in.
func (p *passes) pass(ctx, working context.Context) {
	start := p.clock.Now()
	decisions := map[decision.Unit]eviction.Decision{}
	for _, vpa := range p.vpas.All() {
		if ctx.Err() != nil {
			return
		}
		if !p.serves(vpa.Namespace) {
			continue
		}
		unit := decision.Unit{Kind: eviction.Kind, Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID)}
		if d, ok := p.turn(working, unit); ok {
			decisions[unit] = d
			p.fleet.failed(d)
		}
	}
	for unit := range p.last {
		if _, there := decisions[unit]; !there {
			p.loop.Forget(unit)
			p.forget(unit)
		}
	}
	p.last = decisions
	p.metrics.passed(decisions, p.clock.Since(start))
}

func (p *passes) turn(ctx context.Context, unit decision.Unit) (d eviction.Decision, ok bool) {
	defer func() {
		// One object must not stop the others.
		if cause := recover(); cause != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "A turn panicked", slog.String("vpa", unit.String()),
				slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
		}
	}()
	d, _, err := p.loop.Turn(withVisit(ctx, &visit{}), unit)
	if err != nil {
		if !errors.Is(err, loop.ErrGone) {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not observe", slog.String("vpa", unit.String()), slog.Any("error", err))
		}
		return d, false
	}
	return d, true
}
