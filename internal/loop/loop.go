// Package loop runs the four steps that every component of the suite shares:
// observe, decide, act, commit. It owns the state between passes and the order
// of the steps; it holds no rule, and knows neither Kubernetes nor the ledger's
// format. Live run, dry run, replay and simulation differ only in the observer,
// the actuator and the clock that they hand to it.
package loop

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// ErrGone is returned by an Observer when the unit no longer exists: the loop
// then forgets its state and decides nothing.
var ErrGone = errors.New("the unit no longer exists")

// Rules is the pure half of a component. Neither function does I/O, reads a
// clock, logs, or changes an argument; a replay calls the same two.
type Rules[S any, T any, D decision.Value] struct {
	// Decide turns everything that was observed, and the state, into a decision.
	Decide func(snapshot S, state T) D
	// Commit folds the decision's deltas into a new state: what was observed
	// always, what depends on success only where the outcome succeeded.
	Commit func(state T, d D, outcome decision.Outcome) T
}

// Observer gathers all input of a decision before it is made. A failing source
// is data in the snapshot, not an error; an error means that no decision can be
// made at all, ErrGone that none is wanted any more.
type Observer[S any] interface {
	Observe(ctx context.Context, unit decision.Unit, now time.Time) (S, error)
}

// Actuator carries a decision out. It is called only where the decision wants
// an action.
type Actuator[D any] interface {
	Act(ctx context.Context, d D) decision.Outcome
}

// Publisher shows a decision and its outcome: status, events, log, metrics, the
// last decision for explain. It renders and computes no reason of its own.
type Publisher[D any] interface {
	Publish(ctx context.Context, d D, outcome decision.Outcome)
}

// Entry is one turn of a loop as it is recorded: Before is the state that the
// decision was made with.
type Entry[S, T, D any] struct {
	Snapshot S
	Before   T
	Decision D
	Outcome  decision.Outcome
}

// Recorder writes entries to a ledger.
type Recorder[S, T, D any] interface {
	Record(e Entry[S, T, D]) error
	// Forget tells that the unit's state is gone: whatever is recorded of it
	// later starts anew.
	Forget(unit decision.Unit)
}

// Keeper makes states outlive the process.
type Keeper[S, T, D any] interface {
	// Guard is called before an action, with the turn as far as it came. It returns
	// once it is kept what the action will mean for later turns, or nil where that
	// cannot be. An error ends the turn: nothing is acted on, committed, recorded or
	// shown.
	Guard(ctx context.Context, turn Entry[S, T, D]) error
	// Keep hears of the state that each turn left.
	Keep(turn Entry[S, T, D], after T)
	// Forget tells that the unit's state is gone.
	Forget(unit decision.Unit)
}

// Config is what a Loop is made of. Publisher, Recorder, Keeper and
// OnRecordError may be nil.
type Config[S any, T any, D decision.Value] struct {
	Rules     Rules[S, T, D]
	Observer  Observer[S]
	Actuator  Actuator[D]
	Publisher Publisher[D]
	Recorder  Recorder[S, T, D]
	Keeper    Keeper[S, T, D]
	// OnRecordError hears of entries the ledger could not take. A ledger that
	// fails never stops a loop.
	OnRecordError func(error)
	Clock         clock.PassiveClock
}

func (c Config[S, T, D]) validate() error {
	switch {
	case c.Rules.Decide == nil || c.Rules.Commit == nil:
		return errors.New("loop: Rules.Decide and Rules.Commit are required")
	case c.Observer == nil:
		return errors.New("loop: Observer is required")
	case c.Actuator == nil:
		return errors.New("loop: Actuator is required")
	case c.Clock == nil:
		return errors.New("loop: Clock is required")
	}
	return nil
}

// Loop runs turns for any number of units. Turns of different units may run at
// the same time; the caller (a work queue) sees to it that turns of one unit do
// not.
type Loop[S any, T any, D decision.Value] struct {
	cfg Config[S, T, D]

	mu     sync.Mutex
	states map[decision.Unit]T
}

// New makes a Loop, or says what its configuration lacks.
func New[S any, T any, D decision.Value](cfg Config[S, T, D]) (*Loop[S, T, D], error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Loop[S, T, D]{cfg: cfg, states: map[decision.Unit]T{}}, nil
}

// Turn runs one observe, decide, act, commit for the unit and returns the
// decision and what became of it. The error is the observer's or the keeper's;
// ErrGone has made the loop forget the unit.
func (l *Loop[S, T, D]) Turn(ctx context.Context, unit decision.Unit) (D, decision.Outcome, error) {
	var none D
	snapshot, err := l.cfg.Observer.Observe(ctx, unit, l.now())
	if err != nil {
		if errors.Is(err, ErrGone) {
			l.Forget(unit)
		}
		return none, decision.Outcome{}, fmt.Errorf("observe %s: %w", unit, err)
	}
	before := l.State(unit)
	d := l.cfg.Rules.Decide(snapshot, before)

	entry := Entry[S, T, D]{Snapshot: snapshot, Before: before, Decision: d, Outcome: decision.Outcome{Result: decision.Unneeded}}
	if d.Wanted() {
		if l.cfg.Keeper != nil {
			if err := l.cfg.Keeper.Guard(ctx, entry); err != nil {
				return none, decision.Outcome{}, fmt.Errorf("keep the state of %s before an action: %w", unit, err)
			}
		}
		entry.Outcome = l.cfg.Actuator.Act(ctx, d)
	}
	outcome := entry.Outcome
	after := l.cfg.Rules.Commit(before, d, outcome)
	l.commit(unit, after)
	if l.cfg.Keeper != nil {
		l.cfg.Keeper.Keep(entry, after)
	}

	if l.cfg.Recorder != nil {
		if err := l.cfg.Recorder.Record(entry); err != nil && l.cfg.OnRecordError != nil {
			l.cfg.OnRecordError(fmt.Errorf("record decision on %s: %w", unit, err))
		}
	}
	if l.cfg.Publisher != nil {
		l.cfg.Publisher.Publish(ctx, d, outcome)
	}
	return d, outcome, nil
}

// now strips the monotonic reading and the zone, so that the time in a snapshot
// equals the one that a replay reads back.
func (l *Loop[S, T, D]) now() time.Time { return l.cfg.Clock.Now().UTC().Round(0) }

// State is the unit's state, the zero value where it has none yet.
func (l *Loop[S, T, D]) State(unit decision.Unit) T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states[unit]
}

// Restore sets a unit's state to what was kept, before its first turn. What is
// recorded of the unit starts anew with it.
func (l *Loop[S, T, D]) Restore(unit decision.Unit, state T) {
	l.commit(unit, state)
	if l.cfg.Recorder != nil {
		l.cfg.Recorder.Forget(unit)
	}
}

// Forget drops the state of a unit that no longer exists.
func (l *Loop[S, T, D]) Forget(unit decision.Unit) {
	l.mu.Lock()
	delete(l.states, unit)
	l.mu.Unlock()
	if l.cfg.Keeper != nil {
		l.cfg.Keeper.Forget(unit)
	}
	if l.cfg.Recorder != nil {
		l.cfg.Recorder.Forget(unit)
	}
}

func (l *Loop[S, T, D]) commit(unit decision.Unit, state T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[unit] = state
}
