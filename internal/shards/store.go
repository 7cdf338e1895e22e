package shards

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// ErrDeposed tells that another leader has written: whoever gets it acts no more.
var ErrDeposed = errors.New("another leader keeps the state now")

// Encoder gives a unit's state as it is to be kept at a time. It is called when
// its shard is written, once at the most, and must not change what it holds.
type Encoder func(now time.Time) ([]byte, error)

// Config is what a Store needs to know. All is required.
type Config struct {
	// Component names the shards, as hpa-controller.
	Component string
	// Writer is this leader's identity.
	Writer  string
	Objects Objects
	// Period is the time from one pass to the next.
	Period  time.Duration
	Metrics *Metrics
}

func (c Config) validate() error {
	switch {
	case c.Component == "" || c.Writer == "":
		return errors.New("shards: Component and Writer are required")
	case c.Objects == nil || c.Metrics == nil:
		return errors.New("shards: Objects and Metrics are required")
	case c.Period <= 0:
		return errors.New("shards: Period must be positive")
	}
	return nil
}

// Store keeps states. Claim and then Run make it work; what is told before is kept
// in memory. Where the API does not take the shards the Store says so and holds
// nobody up. It is safe for use by several goroutines.
type Store struct {
	cfg Config
	// kick wakes Run for those who wait.
	kick chan struct{}

	mu     sync.Mutex
	shards []*shard
	// size is the number of bytes of all states as last encoded, with their names.
	size int
	// versions are the resource versions of all objects that are there, by name.
	versions map[string]string
	// pass is the number of the last write; claimed is that of the claim, 0 before.
	pass, claimed int64
	// failure is why nothing can be written, nil while all is well.
	failure error
	deposed bool
	// least is how many shards there have to be, at the least.
	least int
}

// shard is one slice of the states.
type shard struct {
	name    string
	index   int
	entries map[decision.Unit]*entry
	// changed: an entry has come, moved or gone. unsaved: the object is not as the
	// entries were last encoded.
	changed, unsaved bool
	waiting          []waiter
}

// waiter is told when the state of its unit is written.
type waiter struct {
	unit decision.Unit
	done chan error
}

type entry struct {
	// encode is nil once it was called.
	encode Encoder
	state  []byte
}

// New makes a Store, or says what its configuration lacks.
func New(cfg Config) (*Store, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, kick: make(chan struct{}, 1), versions: map[string]string{}}
	s.layOut(1)
	return s, nil
}

// Keep notes a unit's state: it is written with the next pass.
func (s *Store) Keep(unit decision.Unit, encode Encoder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(unit, encode)
}

func (s *Store) put(unit decision.Unit, encode Encoder) *shard {
	sh := s.shards[Place(unit, len(s.shards))]
	e := sh.entries[unit]
	if e == nil {
		e = &entry{}
		sh.entries[unit] = e
		s.size += overhead(unit)
	}
	e.encode, sh.changed = encode, true
	return sh
}

// overhead is what an entry takes besides its state, about.
func overhead(u decision.Unit) int { return len(u.Namespace) + len(u.Name) + len(u.UID) + 8 }

// Guard notes a unit's state and returns once it is written, or at once where
// nothing can be written: what it guards is done without then. An error tells that
// nothing may be done: ErrDeposed, or the context's.
func (s *Store) Guard(ctx context.Context, unit decision.Unit, encode Encoder) error {
	s.mu.Lock()
	if s.deposed {
		s.mu.Unlock()
		return ErrDeposed
	}
	sh := s.put(unit, encode)
	if s.failure != nil || s.claimed == 0 {
		s.mu.Unlock()
		s.cfg.Metrics.unguarded.Inc()
		return nil
	}
	written := make(chan error, 1)
	sh.waiting = append(sh.waiting, waiter{unit: unit, done: written})
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
	select {
	case err := <-written:
		if err != nil && !errors.Is(err, ErrDeposed) {
			s.cfg.Metrics.unguarded.Inc()
			return nil
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Forget drops a unit's state at the next pass.
func (s *Store) Forget(unit decision.Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[Place(unit, len(s.shards))]
	if e := sh.entries[unit]; e != nil {
		delete(sh.entries, unit)
		s.size -= overhead(unit) + len(e.state)
		sh.changed, sh.unsaved = true, true
	}
}

// The times of Run.
const (
	// patience is how long one round of writes may take: those who wait go on
	// without then.
	patience = 2 * time.Second
	// retryFirst is the pause after a round that failed; it doubles up to retryLast.
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// Run writes what changed, each pass and for those who wait, until the context
// ends, and then once more. It returns ErrDeposed as soon as another leader has
// written, and nil otherwise.
func (s *Store) Run(ctx context.Context) error {
	pass := time.NewTicker(s.cfg.Period)
	defer pass.Stop()
	retry := time.NewTimer(retryFirst)
	defer retry.Stop()
	if s.failing() == nil {
		retry.Stop()
	}
	pause := retryFirst
	for {
		all := true
		select {
		case <-ctx.Done():
			return s.finish(ctx)
		case <-s.kick:
			if s.failing() != nil {
				continue // nobody waits
			}
			all = false
		case <-pass.C:
			if s.failing() != nil {
				continue // retries come by themselves
			}
		case <-retry.C:
		}
		err := s.flush(ctx, all)
		switch {
		case errors.Is(err, ErrDeposed):
			return err
		case err != nil:
			retry.Reset(pause)
			pause = min(2*pause, retryLast)
		default:
			retry.Stop()
			pause = retryFirst
		}
	}
}

// finish writes what changed when the work has ended, so that whoever leads next
// begins with the latest.
func (s *Store) finish(ctx context.Context) error {
	err := s.flush(context.WithoutCancel(ctx), true)
	if errors.Is(err, ErrDeposed) {
		return err
	}
	return nil
}

func (s *Store) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// settle notes how a round of writes ended, and says it where that is new.
func (s *Store) settle(ctx context.Context, err error) {
	s.mu.Lock()
	before := s.failure
	s.failure = err
	s.deposed = s.deposed || errors.Is(err, ErrDeposed)
	if err != nil {
		// Nobody waits for what cannot be.
		for _, sh := range s.shards {
			release(sh.waiting, err)
			sh.waiting = nil
		}
	}
	shards := len(s.shards)
	s.mu.Unlock()
	s.cfg.Metrics.settled(shards, err)
	logger := telemetry.Logger(ctx)
	switch {
	case errors.Is(err, ErrDeposed):
		logger.LogAttrs(ctx, slog.LevelError, "Another leader keeps the state: this one acts no more")
	case err != nil && before == nil:
		logger.LogAttrs(ctx, slog.LevelWarn, "States are not kept: a restart would forget them", slog.Any("error", err))
	case err == nil && before != nil:
		logger.LogAttrs(ctx, slog.LevelInfo, "States are kept again")
	}
}

func release(waiting []waiter, err error) {
	for _, w := range waiting {
		w.done <- err
	}
}

// Check is readiness' detail; that nothing is kept is no reason to be not ready.
func (s *Store) Check() health.Check {
	return health.Check{Name: "history", Func: func(context.Context) (string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.failure != nil:
			return fmt.Sprintf("not kept, a restart would forget it: %v", s.failure), nil
		case s.claimed == 0:
			return "kept while leading", nil
		}
		return fmt.Sprintf("kept in %d shards", len(s.shards)), nil
	}}
}
