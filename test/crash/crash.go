package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Victim is a process that comes back after it was killed. Those of a lab's release are.
type Victim interface {
	Name() string
	// Kill kills it with -9 and fails where it does not run just then.
	Kill() error
	// PID is 0 while it does not run.
	PID() int
	WaitReady(context.Context) error
}

// Outcome is the state in the end, by the names of its parts: what has to be the same with and without a crash.
type Outcome map[string]string

// Invariant is what must hold after each round.
type Invariant struct {
	Name  string
	Check func(context.Context) error
}

// Config describes the crash test of one binary.
type Config struct {
	Victim Victim
	// Rounds is how many are played with a crash.
	Rounds int
	// Seed gives the moments.
	Seed uint64
	// Play plays the scene from its beginning to its end and returns how things stand then. Round 0 is the one
	// without a crash. Everything that a round makes has to be its own.
	Play func(ctx context.Context, round int) (Outcome, error)
	// Killed, if not nil, is called after each kill, before the process is waited for: to shorten what the rest of
	// the cluster would wait for, a lease that runs out.
	Killed func(context.Context) error
	// Invariants are checked after each round, also that without a crash.
	Invariants []Invariant
	// Logf prints what happens.
	Logf func(format string, args ...any)
}

// secondKill is the share of rounds in which the process is killed again while it recovers, and within is how long
// after the first time.
const (
	secondKill   = 0.25
	secondWithin = 2 * time.Second
)

// Run plays one round without a crash, then all with. It ends at the first round that goes wrong, with its number and
// moments in the error.
func Run(ctx context.Context, c Config) error {
	name := c.Victim.Name()
	begin := time.Now()
	reference, err := c.play(ctx, 0)
	if err != nil {
		return fmt.Errorf("%s, the round without a crash: %w", name, err)
	}
	length := time.Since(begin)
	c.Logf("%s: without a crash %v after %s; %d rounds with one, seed %d", name, reference, length.Round(time.Millisecond), c.Rounds, c.Seed)
	for round := 1; round <= c.Rounds; round++ {
		moments := Moments(c.Seed, name, round, length)
		outcome, err := c.crash(ctx, round, moments)
		if err == nil {
			if diff := cmp.Diff(reference, outcome); diff != "" {
				err = fmt.Errorf("it ended otherwise than without a crash (-without +with):\n%s", diff)
			}
		}
		if err != nil {
			return fmt.Errorf("%s, round %d, killed at %v, seed %d: %w", name, round, moments, c.Seed, err)
		}
		c.Logf("%s: round %d, killed at %v: the same in the end", name, round, moments)
	}
	return nil
}

// Moments are when the process is killed in a round: one moment within the length of the scene, now and then a second
// one, counted from the first. They are the same for the same seed, name, round and length.
func Moments(seed uint64, name string, round int, length time.Duration) []time.Duration {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name))
	chance := rand.New(rand.NewPCG(seed, hash.Sum64()+uint64(round))) //nolint:gosec // chance, not secrecy
	moments := []time.Duration{time.Duration(chance.Float64() * float64(length)).Round(time.Millisecond)}
	if chance.Float64() < secondKill {
		moments = append(moments, time.Duration(chance.Float64()*float64(secondWithin)).Round(time.Millisecond))
	}
	return moments
}

// crash plays a round and kills meanwhile. A scene that was faster this time may end before the last kill: the outcome
// is then that of the scene, and the invariants are checked after the kill.
func (c Config) crash(ctx context.Context, round int, moments []time.Duration) (Outcome, error) {
	killing, stop := context.WithCancel(ctx)
	killer := make(chan struct{})
	var killed error
	go func() {
		defer close(killer)
		killed = c.killAt(killing, moments)
	}()
	defer func() { // Also where Play ends the goroutine, as a failed test does.
		stop()
		<-killer
	}()
	outcome, err := c.Play(ctx, round)
	if err != nil {
		return nil, err
	}
	<-killer
	if killed != nil {
		return nil, killed
	}
	return outcome, c.check(ctx)
}

// killAt kills at the moments, each counted from the one before, and waits until the process is back.
func (c Config) killAt(ctx context.Context, moments []time.Duration) error {
	for _, after := range moments {
		timer := time.NewTimer(after)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		if err := c.kill(ctx); err != nil {
			return err
		}
		if c.Killed != nil {
			if err := c.Killed(ctx); err != nil {
				return fmt.Errorf("after the kill: %w", err)
			}
		}
	}
	if err := c.Victim.WaitReady(ctx); err != nil {
		return fmt.Errorf("it did not come back: %w", err)
	}
	return nil
}

const (
	look     = 20 * time.Millisecond
	patience = 30 * time.Second
)

// kill waits until the process runs, which it may not yet do again, and kills it.
func (c Config) kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	every := time.NewTicker(look)
	defer every.Stop()
	for {
		err := errors.New("it does not run")
		if c.Victim.PID() != 0 {
			if err = c.Victim.Kill(); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("killing it: %w", err)
		case <-every.C:
		}
	}
}

func (c Config) play(ctx context.Context, round int) (Outcome, error) {
	outcome, err := c.Play(ctx, round)
	if err != nil {
		return nil, err
	}
	return outcome, c.check(ctx)
}

func (c Config) check(ctx context.Context) error {
	var errs []error
	for _, i := range c.Invariants {
		if err := i.Check(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", i.Name, err))
		}
	}
	return errors.Join(errs...)
}
