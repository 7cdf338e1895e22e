package shards_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/shards"
	"github.com/quartet-autoscaling/quartet/internal/shards/shardstest"
)

// TestMoreShards: states that outgrow their shards are divided anew, and wherever a
// leader is killed meanwhile the next finds the latest of each.
func TestMoreShards(t *testing.T) {
	const units = 300
	fill := func(l *leader, text string) map[string]string {
		want := map[string]string{}
		for i := range units {
			want[fmt.Sprint(i)] = strings.Repeat(text, 1000)
			l.Keep(unit(fmt.Sprint(i)), state(want[fmt.Sprint(i)]))
		}
		return want
	}
	for killed := 1; killed < 8; killed++ {
		t.Run(fmt.Sprintf("killed at request %d", killed), func(t *testing.T) {
			bubble(t, func(t *testing.T, server *shardstest.Server) {
				a := lead(t, server, "a")
				first := fill(a, "1")
				time.Sleep(period + time.Second)
				synctest.Wait()
				if got := server.Names(); len(got) != 1 {
					t.Fatalf("objects %v", got)
				}
				second := fill(a, "2")
				n := 0
				var mu sync.Mutex
				server.Before = func(ctx context.Context, _, _ string) error {
					mu.Lock()
					defer mu.Unlock()
					if n++; n >= killed {
						return errors.New("killed")
					}
					return nil
				}
				time.Sleep(period)
				synctest.Wait()
				server.Before = nil
				b := lead(t, server, "b")
				for name, got := range b.found {
					if got != first[name] && got != second[name] {
						t.Fatalf("%s is neither", name)
					}
				}
				if len(b.found) != units {
					t.Errorf("%d of %d are found", len(b.found), units)
				}
				if got := server.Names(); len(got) != 4 || !slices.Contains(got, "hpa-controller-3-of-4") {
					t.Errorf("objects %v, want 4", got)
				}
				if got := detail(t, b); got != "kept in 4 shards" {
					t.Errorf("readiness says %q", got)
				}
				want := maps.Clone(b.found)
				_ = b.stop()
				if diff := cmp.Diff(want, lead(t, server, "c").found); diff != "" {
					t.Error("the next finds others")
				}
			})
		})
	}
}

// TestAClaimThatMeetsTheLeaderBefore: what that one still keeps is found, and then
// it keeps nothing more.
func TestAClaimThatMeetsTheLeaderBefore(t *testing.T) {
	bubble(t, func(t *testing.T, server *shardstest.Server) {
		a := lead(t, server, "a")
		if err := a.Guard(t.Context(), unit("web"), state("1")); err != nil {
			t.Fatal(err)
		}
		listed := false
		server.Before = func(ctx context.Context, verb, _ string) error {
			if verb == "Write" && !listed {
				listed = true // b has listed, and is about to write
				return a.Guard(ctx, unit("web"), state("2"))
			}
			return nil
		}
		b := lead(t, server, "b")
		if b.found["web"] != "2" || !listed {
			t.Errorf("found %v", b.found)
		}
		if err := a.Guard(t.Context(), unit("web"), state("3")); !errors.Is(err, shards.ErrDeposed) {
			t.Errorf("the leader before may go on: %v", err)
		}
	})
}

func TestConfigSaysWhatItLacks(t *testing.T) {
	if _, err := shards.New(shards.Config{Component: "x", Writer: "y", Objects: &shardstest.Server{}}); err == nil {
		t.Error("no error")
	}
}
