package crash_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/test/crash"
)

// victim comes back a second after it was killed, and then loses what it had if it is forgetful.
type victim struct {
	mu     sync.Mutex
	back   time.Time
	kills  int
	broken error
}

func (v *victim) Name() string { return "victim" }

func (v *victim) PID() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Now().Before(v.back) {
		return 0
	}
	return 42
}

func (v *victim) Kill() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kills++
	v.back = time.Now().Add(time.Second)
	return nil
}

func (v *victim) WaitReady(context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	time.Sleep(time.Until(v.back))
	return v.broken
}

func (v *victim) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.kills
}

// steady is a scene of ten seconds that always ends the same.
func steady(context.Context, int) (crash.Outcome, error) {
	time.Sleep(10 * time.Second)
	return crash.Outcome{"replicas": "3"}, nil
}

func TestRun(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*victim, *crash.Config)
		want   string // in the error; empty: none
	}{
		"all is well": {change: func(*victim, *crash.Config) {}},
		"another end": {want: "round 3", change: func(_ *victim, c *crash.Config) {
			c.Play = func(ctx context.Context, round int) (crash.Outcome, error) {
				o, err := steady(ctx, round)
				if round == 3 {
					o["replicas"] = "2"
				}
				return o, err
			}
		}},
		"the scene fails": {want: "no stage", change: func(_ *victim, c *crash.Config) {
			c.Play = func(_ context.Context, round int) (crash.Outcome, error) {
				if round == 0 {
					return nil, nil
				}
				return nil, errors.New("no stage")
			}
		}},
		"an invariant broke": {want: "no orphans: a taint", change: func(v *victim, c *crash.Config) {
			c.Invariants = []crash.Invariant{{Name: "no orphans", Check: func(context.Context) error {
				if v.count() > 0 {
					return errors.New("a taint")
				}
				return nil
			}}}
		}},
		"one broke without a crash": {want: "without a crash: no orphans", change: func(_ *victim, c *crash.Config) {
			c.Invariants = []crash.Invariant{{Name: "no orphans", Check: func(context.Context) error { return errors.New("a taint") }}}
		}},
		"it stays away": {want: "did not come back: broken", change: func(v *victim, _ *crash.Config) {
			v.broken = errors.New("broken")
		}},
		"the lease stays": {want: "after the kill: denied", change: func(_ *victim, c *crash.Config) {
			c.Killed = func(context.Context) error { return errors.New("denied") }
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := &victim{}
				c := crash.Config{Victim: v, Rounds: 20, Seed: 7, Play: steady, Logf: t.Logf}
				tc.change(v, &c)
				err := crash.Run(t.Context(), c)
				switch {
				case tc.want == "" && err != nil:
					t.Error(err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
					t.Errorf("the error is %v, want %q in it", err, tc.want)
				case tc.want == "" && v.count() <= c.Rounds:
					t.Errorf("%d kills in %d rounds, want one in each and two in some", v.count(), c.Rounds)
				}
			})
		})
	}
}

// TestPlayEndsItsGoroutine: a test that fails within the scene leaves no killer behind.
func TestPlayEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &victim{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = crash.Run(t.Context(), crash.Config{Victim: v, Rounds: 1, Logf: t.Logf, Play: func(_ context.Context, round int) (crash.Outcome, error) {
				if round == 1 {
					runtime.Goexit()
				}
				time.Sleep(time.Minute)
				return nil, nil
			}})
		}()
		<-done
		time.Sleep(time.Hour)
		if v.count() != 0 {
			t.Errorf("killed %d times after the end", v.count())
		}
	})
}

func TestMomentsFollowFromTheSeed(t *testing.T) {
	t.Parallel()
	all := func(seed uint64, name string) string {
		var b strings.Builder
		for round := range 50 {
			for _, m := range crash.Moments(seed, name, round, 10*time.Second)[:1] {
				if m < 0 || m > 10*time.Second {
					t.Errorf("round %d kills at %s of 10s", round, m)
				}
				fmt.Fprintln(&b, m)
			}
		}
		return b.String()
	}
	if diff := cmp.Diff(all(1, "a"), all(1, "a")); diff != "" {
		t.Errorf("the same seed gives other moments:\n%s", diff)
	}
	for _, other := range []string{all(2, "a"), all(1, "b")} {
		if other == all(1, "a") {
			t.Error("another seed or name gives the same moments")
		}
	}
}
