package shards_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/shards"
	"github.com/quartet-autoscaling/quartet/internal/shards/shardstest"
)

const period = 15 * time.Second

func unit(name string) decision.Unit {
	return decision.Unit{Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: name, UID: "uid-" + name}
}

func state(text string) shards.Encoder {
	return func(time.Time) ([]byte, error) { return []byte(text), nil }
}

// leader is a store at work.
type leader struct {
	*shards.Store
	// found is what its claim gave.
	found  map[string]string
	failed error
	// stop ends its work in order and gives what Run gave.
	stop func() error
}

func any1(shards.Record) bool { return true }

func lead(t *testing.T, server *shardstest.Server, writer string) *leader {
	t.Helper()
	metrics, err := shards.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	store, err := shards.New(shards.Config{Component: "hpa-controller", Writer: writer, Objects: server, Period: period, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	l := &leader{Store: store, found: map[string]string{}}
	records, err := store.Claim(t.Context(), any1)
	l.failed = err
	for _, r := range records {
		l.found[r.Unit.Name] = string(r.State)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	ended := make(chan error, 1)
	var result error
	go func() { ended <- store.Run(ctx) }()
	l.stop = func() error {
		once.Do(func() { cancel(); result = <-ended })
		return result
	}
	t.Cleanup(func() { _ = l.stop() })
	return l
}

func detail(t *testing.T, l *leader) string {
	t.Helper()
	text, err := l.Check().Func(t.Context())
	if err != nil {
		t.Errorf("not ready: %v", err)
	}
	return text
}

// bubble runs a test in synthetic time.
func bubble(t *testing.T, f func(t *testing.T, server *shardstest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, &shardstest.Server{}) })
}

func TestASuccessorFindsWhatWasKept(t *testing.T) {
	bubble(t, func(t *testing.T, server *shardstest.Server) {
		a := lead(t, server, "a")
		a.Keep(unit("web"), state("kept"))
		if err := a.Guard(t.Context(), unit("api"), state("guarded")); err != nil {
			t.Fatal(err)
		}
		// Killed here, it has kept what it guarded, and of the same shard the rest.
		b := lead(t, server, "b")
		if diff := cmp.Diff(map[string]string{"web": "kept", "api": "guarded"}, b.found); diff != "" {
			t.Error(diff)
		}
		if err := a.Guard(t.Context(), unit("api"), state("late")); !errors.Is(err, shards.ErrDeposed) {
			t.Errorf("the leader before may go on: %v", err)
		}
		if err := a.stop(); !errors.Is(err, shards.ErrDeposed) {
			t.Errorf("it ended with %v", err)
		}
		b.Forget(unit("web"))
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"api": "guarded"}, lead(t, server, "c").found); diff != "" {
			t.Errorf("what was forgotten, or told at the end:\n%s", diff)
		}
	})
}

// TestOnePassOneWrite: what changed is written once a pass, and what did not is
// not.
func TestOnePassOneWrite(t *testing.T) {
	bubble(t, func(t *testing.T, server *shardstest.Server) {
		a := lead(t, server, "a")
		before := server.Writes()
		for i := range 50 {
			a.Keep(unit(fmt.Sprint(i)), state("x"))
		}
		time.Sleep(period + time.Second)
		if got := server.Writes() - before; got != 1 {
			t.Errorf("%d writes for 50 states, want 1", got)
		}
		for i := range 50 {
			a.Keep(unit(fmt.Sprint(i)), state("x"))
		}
		time.Sleep(10 * period)
		if got := server.Writes() - before; got != 1 {
			t.Errorf("%d writes though nothing changed, want 1", got)
		}
	})
}

// TestThoseWhoWaitShareAWrite: while one write is on its way, all that come wait
// for the next.
func TestThoseWhoWaitShareAWrite(t *testing.T) {
	bubble(t, func(t *testing.T, server *shardstest.Server) {
		a := lead(t, server, "a")
		server.Before = func(context.Context, string, string) error { time.Sleep(20 * time.Millisecond); return nil }
		before := server.Writes()
		start := time.Now()
		if err := a.Guard(t.Context(), unit("alone"), state("x")); err != nil || time.Since(start) > 20*time.Millisecond {
			t.Errorf("alone it took %s, %v", time.Since(start), err)
		}
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				if err := a.Guard(t.Context(), unit(fmt.Sprint(i)), state("x")); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := server.Writes() - before; got > 3 {
			t.Errorf("%d writes for 41 that waited, want 3 at the most", got)
		}
		_ = a.stop()
		if got := len(lead(t, server, "b").found); got != 41 {
			t.Errorf("%d of 41 are found", got)
		}
	})
}

// TestWithoutTheAPIItGoesOn: nobody is held up, it is said, and once the API is
// back everything is kept.
func TestWithoutTheAPIItGoesOn(t *testing.T) {
	causes := map[string]error{
		"not allowed": apierrors.NewForbidden(v1alpha1.Resource("stateshards"), "", errors.New("no role")),
		"not there":   apierrors.NewNotFound(v1alpha1.Resource("stateshards"), ""),
		"down":        errors.New("connection refused"),
	}
	for name, cause := range causes {
		for when, early := range map[string]bool{"from the start": true, "later": false} {
			t.Run(name+" "+when, func(t *testing.T) {
				bubble(t, func(t *testing.T, server *shardstest.Server) {
					down := func(context.Context, string, string) error { return cause }
					if early {
						server.Before = down
					}
					start := time.Now()
					a := lead(t, server, "a")
					if (a.failed != nil) != early || time.Since(start) > 5*time.Second {
						t.Errorf("the claim gave %v after %s", a.failed, time.Since(start))
					}
					synctest.Wait()
					server.Before = down
					start = time.Now()
					for range 3 {
						if err := a.Guard(t.Context(), unit("web"), state("1")); err != nil || time.Since(start) > 2*time.Second {
							t.Errorf("held up: %v after %s", err, time.Since(start))
						}
					}
					if got := detail(t, a); !strings.Contains(got, "not kept") {
						t.Errorf("readiness says %q", got)
					}
					time.Sleep(time.Minute)
					synctest.Wait()
					server.Before = nil
					time.Sleep(time.Minute)
					if got := detail(t, a); got != "kept in 1 shards" {
						t.Errorf("readiness says %q once the API is back", got)
					}
					if got := lead(t, server, "b").found["web"]; got != "1" {
						t.Errorf("found %q", got)
					}
				})
			})
		}
	}
}

// TestASlowAPIHoldsUpNotForLong: who waits goes on after two seconds.
func TestASlowAPIHoldsUpNotForLong(t *testing.T) {
	bubble(t, func(t *testing.T, server *shardstest.Server) {
		a := lead(t, server, "a")
		server.Before = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
		start := time.Now()
		if err := a.Guard(t.Context(), unit("web"), state("1")); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		server.Before = nil
	})
}

// TestWritesThatMeet: somebody removes or edits a shard, or an answer is lost: it
// is written all the same, and nobody is taken for another leader.
func TestWritesThatMeet(t *testing.T) {
	tests := map[string]func(server *shardstest.Server){
		"removed": func(server *shardstest.Server) { server.Remove(server.Names()[0]) },
		"edited": func(server *shardstest.Server) {
			items, _ := server.List(context.Background())
			items[0].Spec.Pass += 100
			server.Put(items[0])
		},
		"the answer is lost": func(server *shardstest.Server) {
			server.After = func(string) error { server.After = nil; return errors.New("connection reset") }
		},
	}
	for name, meet := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *shardstest.Server) {
				a := lead(t, server, "a")
				synctest.Wait()
				meet(server)
				for _, text := range []string{"1", "2"} {
					if err := a.Guard(t.Context(), unit("web"), state(text)); err != nil {
						t.Errorf("refused: %v", err)
					}
					time.Sleep(5 * time.Second)
				}
				if err := a.Guard(t.Context(), unit("web"), state("3")); err != nil {
					t.Error(err)
				}
				if got := lead(t, server, "b").found["web"]; got != "3" {
					t.Errorf("found %q", got)
				}
			})
		})
	}
}

// TestBadShardsAreLeftOut: one that is damaged, or of a version to come, loses its
// own history and no other's.
func TestBadShardsAreLeftOut(t *testing.T) {
	spoil := map[string]func(*v1alpha1.StateShardSpec){
		"another hash":      func(s *v1alpha1.StateShardSpec) { s.Data[len(s.Data)/2] ^= 1 },
		"a version to come": func(s *v1alpha1.StateShardSpec) { s.Version++ },
		"another form": func(s *v1alpha1.StateShardSpec) {
			s.Data = []byte("state")
			s.Hash = shards.Hash(s.Data)
		},
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *shardstest.Server) {
				a := lead(t, server, "a")
				a.Keep(unit("web"), state("1"))
				_ = a.stop()
				items, _ := server.List(t.Context())
				good := items[0].DeepCopy()
				data, err := shards.Encode([]shards.Record{{Unit: unit("api"), State: []byte("2")}})
				if err != nil {
					t.Fatal(err)
				}
				good.Name, good.Spec.Data, good.Spec.Hash = "hpa-controller-1-of-2", data, shards.Hash(data)
				good.Spec.Index, good.Spec.Shards = 1, 2
				server.Put(*good)
				spoil(&items[0].Spec)
				server.Put(items[0])
				b := lead(t, server, "b")
				if diff := cmp.Diff(map[string]string{"api": "2"}, b.found); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff([]string{"hpa-controller-0-of-2", "hpa-controller-1-of-2"}, server.Names()); diff != "" {
					t.Errorf("objects:\n%s", diff)
				}
			})
		})
	}
}
