package formula_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/formula"
)

// TestCirclesBecomeStale lets formulas read themselves: by each poll the value
// grows, and its time does not move.
func TestCirclesBecomeStale(t *testing.T) {
	for name, circle := range map[string]map[string]string{
		"itself":         {"a": "a"},
		"one another":    {"a": "b", "b": "a"},
		"three in a row": {"a": "b", "b": "c", "c": "a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServed()
			pollers := map[string]source.Pusher{}
			var words atomic.Int32
			for metric, reads := range circle {
				s.put(metric, 1, noon) // when it was no circle yet
				pollers[metric] = open(t, s, "x + 1.0", "x="+reads)
			}
			for _, p := range pollers {
				if _, err := p.Poll(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			for _, p := range pollers {
				watching.Go(func() { _ = p.Watch(ctx, func() { words.Add(1) }) })
			}
			last := noon
			for range 100 {
				s.mu.Lock()
				s.now = s.now.Add(time.Second)
				s.mu.Unlock()
				for metric, p := range pollers {
					r, err := p.Poll(t.Context())
					if err == nil {
						s.put(metric, r.Gauges[query.Value].Value, r.At)
						last = s.now
					} else if reasonOf(err) != formula.ReasonInput {
						t.Fatal(err)
					}
				}
			}
			cancel()
			watching.Wait()
			// Once for having become stale, each; not once for each of the polls.
			if n := words.Load(); n > int32(2*len(circle)) {
				t.Errorf("the circle of %d drove itself with %d words of change", len(circle), n)
			}
			if age := last.Sub(noon); age > s.maxAge {
				t.Errorf("a circle was served until it was %s old, with maxAge %s", age, s.maxAge)
			}
			for _, p := range pollers {
				if _, err := p.Poll(t.Context()); reasonOf(err) != formula.ReasonInput || !strings.Contains(err.Error(), query.ReasonStale) {
					t.Errorf("in the end the circle gives %v, want Stale", err)
				}
			}
		})
	}
}

func TestAPollEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newServed()
	s.put("orders", 1, noon)
	// Nothing here waits, so a poll that was given up may as well succeed.
	if _, err := open(t, s, "a", "a=orders").Poll(ctx); err != nil && reasonOf(err) == "" {
		t.Errorf("an error of no reason: %v", err)
	}
}

// FuzzExpression feeds any expression: it is refused with its place, fails with a
// reason, or gives a finite number or NotANumber.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		"a + b", "math.greatest(a, b, 1.0)", "a > b ? a : b", "int(a) % 2", "a / 0.0", "[a, b][0]", "'x' + 'y'", "a.b", "{1: a}[1]",
		"a + ", "duration('1s')", "size([a])", "b'\\xff'", "a ? 1 : 2", "has(a.b)", "[1].all(x, x > 0) ? a : b", "math.bitShiftLeft(1, 62)",
	} {
		f.Add(seed, 1.0, 2.0)
	}
	f.Add("a / b", 0.0, math.Inf(1))
	f.Fuzz(func(t *testing.T, expression string, a, b float64) {
		s := newServed()
		s.put("a", a, noon)
		s.put("b", b, noon)
		q, err := build(t, s, spec(expression, "a=a", "b=b"))
		if err != nil {
			wantOurs(t, err, source.ReasonInvalid)
			return
		}
		p, err := q.Open()
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Poll(t.Context())
		if err != nil {
			wantOurs(t, err, formula.ReasonFormula)
			return
		}
		switch g := r.Gauges[query.Value]; {
		case g.Presence == query.NotANumber:
		case g.Presence != query.Number || math.IsNaN(g.Value) || math.IsInf(g.Value, 0):
			t.Fatalf("%q gives %+v", expression, g)
		}
	})
}

func wantOurs(t *testing.T, err error, reason string) {
	t.Helper()
	var ours *source.Error
	if !errors.As(err, &ours) || ours.Reason != reason || ours.Message == "" {
		t.Fatal(fmt.Errorf("want an error of reason %s: %w", reason, err))
	}
}
