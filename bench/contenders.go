package main

import (
	"context"
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// rounds is how often each contender runs, in turn, each time in a lab of its own.
const rounds = 2

// contender is a controller that is measured.
type contender struct {
	name  string
	start func(ctx context.Context, l *lab.Lab) (running, error)
}

// running is one that runs.
type running struct {
	pid  int
	url  string
	stop func() error
}

// ofUpstream is a controller of upstream's that a lab has started, once it is ready.
func ofUpstream(ctx context.Context, u *lab.Upstream, err error) (running, error) {
	if err != nil {
		return running{}, err
	}
	return running{pid: u.PID(), url: u.URL(), stop: u.Stop}, u.WaitReady(ctx)
}

// ofChart installs the chart with these values and gives the process of one of its
// Deployments, once it is ready.
func ofChart(ctx context.Context, l *lab.Lab, name string, values map[string]any) (running, error) {
	release, err := l.InstallChart(ctx, lab.ChartOptions{Values: values})
	if err != nil {
		return running{}, err
	}
	process := release.Process(name)
	if process == nil {
		return running{}, fmt.Errorf("the chart has no %s", name)
	}
	if err := process.WaitReady(ctx); err != nil {
		return running{}, err
	}
	url, err := process.URL()
	if err != nil {
		return running{}, fmt.Errorf("find %s: %w", name, err)
	}
	if n := process.Restarts(); n > 0 {
		return running{}, fmt.Errorf("%s was started again %d times: see %s", name, n, process.LogPath())
	}
	return running{pid: process.PID(), url: url, stop: process.Stop}, nil
}

// extraArgs are arguments as the chart's values have them.
func extraArgs(args []string) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		out[i] = arg
	}
	return out
}

// compared are the runs of both sides.
type compared[F any] struct{ ours, theirs []F }

// takeTurns runs both sides one after the other, round by round.
func takeTurns[F any](ctx context.Context, measure func(context.Context, contender) (F, error), ours, theirs contender) (compared[F], error) {
	runs, err := turns(ctx, turn[F]{ours, measure}, turn[F]{theirs, measure})
	return against(runs, 1), err
}

// against takes ours, the first, and one of the others out of all runs; nothing
// where there are none.
func against[F any](runs [][]F, theirs int) compared[F] {
	if runs == nil {
		return compared[F]{}
	}
	return compared[F]{ours: runs[0], theirs: runs[theirs]}
}

// turn is a contender with how it is measured.
type turn[F any] struct {
	contender
	measure func(context.Context, contender) (F, error)
}

// turns runs any number of them, and gives the runs of each.
func turns[F any](ctx context.Context, all ...turn[F]) ([][]F, error) {
	runs := make([][]F, len(all))
	for range rounds {
		for i, t := range all {
			f, err := t.measure(ctx, t.contender)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			runs[i] = append(runs[i], f)
		}
	}
	return runs, nil
}

// medians are those of a figure of both sides.
func (c compared[F]) medians(take func(F) float64) (ours, theirs float64) {
	values := func(runs []F) (out []float64) {
		for _, f := range runs {
			out = append(out, take(f))
		}
		return out
	}
	return median(values(c.ours)), median(values(c.theirs))
}

// lower gives a figure's medians; less is better.
func lower[F any](c compared[F], unit string, take func(F) float64) result {
	ours, theirs := c.medians(take)
	return beside(ours, theirs, unit, theirs, ours)
}

// higher gives a figure's medians; more is better.
func higher[F any](c compared[F], unit string, take func(F) float64) result {
	ours, theirs := c.medians(take)
	return beside(ours, theirs, unit, ours, theirs)
}

// beside has no ratio where it would be one to nothing.
func beside(ours, theirs float64, unit string, over, under float64) result {
	r := result{Value: ours, Unit: unit, Upstream: &theirs}
	if under > 0 {
		ratio := over / under
		r.Ratio = &ratio
	}
	return r
}

// figureOf takes a figure out of runs, of which less is better.
func figureOf[F any](runs func(context.Context) (compared[F], error), unit string, take func(F) float64) func(context.Context) (result, error) {
	return func(ctx context.Context) (result, error) {
		c, err := runs(ctx)
		if err != nil {
			return result{}, err
		}
		return lower(c, unit, take), nil
	}
}

// rateOf takes a rate a second out of runs, of which more is better.
func rateOf[F any](runs func(context.Context) (compared[F], error), take func(F) float64) func(context.Context) (result, error) {
	return func(ctx context.Context) (result, error) {
		c, err := runs(ctx)
		if err != nil {
			return result{}, err
		}
		return higher(c, "reviews/s", take), nil
	}
}

// pause waits, or gives why not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// say tells of a step of a long measurement.
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
