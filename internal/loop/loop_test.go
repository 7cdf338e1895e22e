package loop_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

type (
	snapshot struct {
		Now  time.Time
		Want int
	}
	delta   struct{ Seen, Scaled int }
	state   struct{ Seen, Scaled int }
	decided = decision.Decision[int, delta]
)

var unit = decision.Unit{Kind: "Test", Name: "a"}

// shell is every I/O side of a loop, and remembers in which order it was called.
type shell struct {
	mu       sync.Mutex
	want     int
	observed error
	acted    decision.Outcome
	recorded error
	calls    []string
	befores  []state
	forgot   int
}

func (s *shell) call(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
}

func (s *shell) Observe(_ context.Context, _ decision.Unit, now time.Time) (snapshot, error) {
	s.call("observe")
	return snapshot{Now: now, Want: s.want}, s.observed
}

func (s *shell) Act(context.Context, decided) decision.Outcome { s.call("act"); return s.acted }

func (s *shell) Publish(context.Context, decided, decision.Outcome) { s.call("publish") }

func (s *shell) Record(e loop.Entry[snapshot, state, decided]) error {
	s.call("record")
	s.befores = append(s.befores, e.Before)
	return s.recorded
}

func (s *shell) Forget(decision.Unit) { s.forgot++ }

func config(s *shell) loop.Config[snapshot, state, decided] {
	return loop.Config[snapshot, state, decided]{
		Rules: loop.Rules[snapshot, state, decided]{
			Decide: func(in snapshot, _ state) decided {
				return decided{Unit: unit, At: in.Now, To: in.Want, Act: in.Want > 0, Observed: delta{Seen: 1}, OnSuccess: delta{Scaled: 1}}
			},
			Commit: func(st state, d decided, o decision.Outcome) state {
				st.Seen += d.Observed.Seen
				if o.Result == decision.Succeeded {
					st.Scaled += d.OnSuccess.Scaled
				}
				return st
			},
		},
		Observer: s, Actuator: s, Publisher: s, Recorder: s,
		Clock: testingclock.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("somewhere", 3600))),
	}
}

func TestTurn(t *testing.T) {
	cases := map[string]struct {
		shell *shell
		calls []string
		state state
		fails bool
	}{
		"action succeeds":        {&shell{want: 3, acted: decision.Outcome{Result: decision.Succeeded}}, []string{"observe", "act", "record", "publish"}, state{Seen: 1, Scaled: 1}, false},
		"action fails":           {&shell{want: 3, acted: decision.Outcome{Result: decision.Failed}}, []string{"observe", "act", "record", "publish"}, state{Seen: 1}, false},
		"nothing wanted":         {&shell{}, []string{"observe", "record", "publish"}, state{Seen: 1}, false},
		"a ledger that is full":  {&shell{recorded: errors.New("disk full")}, []string{"observe", "record", "publish"}, state{Seen: 1}, false},
		"observation impossible": {&shell{observed: errors.New("no cache")}, []string{"observe"}, state{}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := c.shell
			l, err := loop.New(config(s))
			if err != nil {
				t.Fatal(err)
			}
			d, _, err := l.Turn(t.Context(), unit)
			if (err != nil) != c.fails {
				t.Fatalf("error %v, want failure %v", err, c.fails)
			}
			if err == nil && (d.At.Location() != time.UTC || d.At.Hour() != 2) {
				t.Errorf("the snapshot's time %v is not in UTC", d.At)
			}
			if diff := cmp.Diff(c.calls, s.calls); diff != "" {
				t.Errorf("order of calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.state, l.State(unit)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntryHoldsTheStateBeforeTheTurn(t *testing.T) {
	s := &shell{}
	l, err := loop.New(config(s))
	if err != nil {
		t.Fatal(err)
	}
	l.Restore(unit, state{Seen: 5})
	for range 2 {
		if _, _, err := l.Turn(t.Context(), unit); err != nil {
			t.Fatal(err)
		}
	}
	if s.forgot != 1 {
		t.Errorf("the recorder was told %d times to start anew, want once", s.forgot)
	}
	if diff := cmp.Diff([]state{{Seen: 5}, {Seen: 6}}, s.befores); diff != "" {
		t.Errorf("states recorded (-want +got):\n%s", diff)
	}
}

func TestGoneUnitIsForgotten(t *testing.T) {
	s := &shell{}
	l, err := loop.New(config(s))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Turn(t.Context(), unit); err != nil {
		t.Fatal(err)
	}
	s.observed = loop.ErrGone
	if _, _, err := l.Turn(t.Context(), unit); !errors.Is(err, loop.ErrGone) {
		t.Fatalf("error %v, want ErrGone", err)
	}
	if got := l.State(unit); got != (state{}) || s.forgot != 1 {
		t.Errorf("state %v, recorder told %d times", got, s.forgot)
	}
}

// keeper remembers what it was told, and refuses where it is to.
type keeper struct {
	*shell
	refuse error
	kept   []state
}

func (k *keeper) Guard(_ context.Context, e loop.Entry[snapshot, state, decided]) error {
	k.call("guard")
	k.befores = append(k.befores, e.Before)
	return k.refuse
}

func (k *keeper) Keep(e loop.Entry[snapshot, state, decided], after state) {
	k.call("keep " + string(e.Outcome.Result))
	k.kept = append(k.kept, after)
}

// A state is kept before the action that it forbids to repeat, and where that is
// refused nothing more happens.
func TestKeeper(t *testing.T) {
	refused := errors.New("another replica leads")
	cases := map[string]struct {
		keeper keeper
		calls  []string
		state  state
	}{
		"an action": {keeper{shell: &shell{want: 3, acted: decision.Outcome{Result: decision.Succeeded}}},
			[]string{"observe", "guard", "act", "keep Succeeded", "publish"}, state{Seen: 1, Scaled: 1}},
		"no action": {keeper{shell: &shell{}}, []string{"observe", "keep Unneeded", "publish"}, state{Seen: 1}},
		"refused":   {keeper{shell: &shell{want: 3}, refuse: refused}, []string{"observe", "guard"}, state{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := config(c.keeper.shell)
			cfg.Recorder, cfg.Keeper = nil, &c.keeper
			l, err := loop.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := l.Turn(t.Context(), unit); !errors.Is(err, c.keeper.refuse) {
				t.Errorf("error %v, want %v", err, c.keeper.refuse)
			}
			if diff := cmp.Diff(c.calls, c.keeper.calls); diff != "" {
				t.Errorf("order of calls (-want +got):\n%s", diff)
			}
			if got := l.State(unit); got != c.state || c.keeper.refuse == nil && c.keeper.kept[0] != c.state {
				t.Errorf("state %v, kept %v, want %v", got, c.keeper.kept, c.state)
			}
			l.Forget(unit)
			if c.keeper.forgot != 1 {
				t.Errorf("told %d times that the unit is gone", c.keeper.forgot)
			}
		})
	}
}

func TestConfigSaysWhatItLacks(t *testing.T) {
	lacking := map[string]func(*loop.Config[snapshot, state, decided]){
		"rules":    func(c *loop.Config[snapshot, state, decided]) { c.Rules.Commit = nil },
		"observer": func(c *loop.Config[snapshot, state, decided]) { c.Observer = nil },
		"actuator": func(c *loop.Config[snapshot, state, decided]) { c.Actuator = nil },
		"clock":    func(c *loop.Config[snapshot, state, decided]) { c.Clock = nil },
	}
	for name, remove := range lacking {
		t.Run(name, func(t *testing.T) {
			cfg := config(&shell{})
			remove(&cfg)
			if _, err := loop.New(cfg); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestUnitsTurnAtTheSameTime(t *testing.T) {
	s := &shell{}
	cfg := config(s)
	cfg.Recorder = nil
	l, err := loop.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	names := []string{"a", "b", "c", "d"}
	for _, name := range names {
		wg.Go(func() {
			for range 100 {
				if _, _, err := l.Turn(context.Background(), decision.Unit{Name: name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, name := range names {
		if got := l.State(decision.Unit{Name: name}).Seen; got != 100 {
			t.Errorf("unit %s saw %d turns, want 100", name, got)
		}
	}
}
