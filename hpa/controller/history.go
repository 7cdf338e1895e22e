package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/shards"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

type turnEntry = loop.Entry[replicas.Snapshot, replicas.State, replicas.Decision]

// history has what the rules remember outlive the process. A nil history forgets.
type history struct {
	store *shards.Store
	// doubt has a target read from the API server and not from a cache; it may be
	// nil.
	doubt func(kube.Ref)
	// missing is why there is no store; empty where there is one.
	missing string
}

// newHistory makes the history of a binary that acts. One that knows no place for
// its shards goes on without.
func newHistory(ctx context.Context, frame *component.Frame, s settings, registry prometheus.Registerer) (*history, error) {
	if s.flags.Mode != runtimeflags.ModeAuto {
		return &history{missing: "mode " + string(s.flags.Mode) + " changes no count"}, nil
	}
	namespace := s.flags.LeaderElectResourceNamespace
	if namespace == "" {
		var err error
		if namespace, err = leader.PodNamespace(); err != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelWarn, "States are not kept: a restart would forget them", slog.Any("error", err))
			return &history{missing: "no namespace is known for its StateShards"}, nil
		}
	}
	objects, err := shards.NewObjects(frame.REST, namespace, name)
	if err != nil {
		return nil, err
	}
	metrics, err := shards.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	store, err := shards.New(shards.Config{
		Component: name, Writer: frame.Elector.Identity(), Objects: objects, Period: s.options.Rules.SyncPeriod, Metrics: metrics,
	})
	if err != nil {
		return nil, err
	}
	return &history{store: store}, nil
}

// keeper is what the loop tells of its states; nil where nothing is kept.
func (h *history) keeper() loop.Keeper[replicas.Snapshot, replicas.State, replicas.Decision] {
	if h == nil || h.store == nil {
		return nil
	}
	return h
}

// Guard has the state kept with what the decision is about to change.
func (h *history) Guard(ctx context.Context, e turnEntry) error {
	return visitOf(ctx).slots.aside(func() error {
		return h.store.Guard(ctx, e.Decision.Unit, encoder(replicas.Intending(e.Before, e.Decision), &e.Snapshot))
	})
}

// Keep has the state kept with the next pass.
func (h *history) Keep(e turnEntry, after replicas.State) {
	h.store.Keep(e.Decision.Unit, encoder(after, &e.Snapshot))
}

// Forget drops the state of an object that is gone.
func (h *history) Forget(unit decision.Unit) { h.store.Forget(unit) }

// encoder keeps of a state what the object's windows can still look at.
func encoder(state replicas.State, s *replicas.Snapshot) shards.Encoder {
	windows := replicas.WindowsOf(s)
	return func(now time.Time) ([]byte, error) {
		return replicas.AppendState(nil, replicas.Compact(state, windows, now))
	}
}

// lead restores what was kept and does the work, until that ends or another leader
// keeps the state.
func (h *history) lead(ctx context.Context, w *workers) error {
	if h == nil || h.store == nil {
		return w.run(ctx)
	}
	h.restore(ctx, w)
	// What the last turns leave is kept too: the store outlives the work.
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	working, halt := context.WithCancel(ctx)
	defer halt()
	kept := make(chan error, 1)
	go func() {
		err := h.store.Run(keeping)
		halt()
		kept <- err
	}()
	err := w.run(working)
	stop()
	return errors.Join(err, <-kept)
}

// restore gives the loop the states of the objects that are still there. Where it
// fails the objects begin anew; the store says so.
func (h *history) restore(ctx context.Context, w *workers) {
	states := map[decision.Unit]replicas.State{}
	records, err := h.store.Claim(ctx, func(r shards.Record) bool {
		hpa := w.objects.get(objectOfUnit(r.Unit))
		if hpa == nil || string(hpa.UID) != r.Unit.UID {
			return false
		}
		state, err := replicas.DecodeState(r.State)
		if err != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "A history cannot be used: it begins anew",
				slog.String("hpa", r.Unit.Namespace+"/"+r.Unit.Name), slog.Any("error", err))
			return false
		}
		states[r.Unit] = state
		return true
	})
	if err != nil {
		return
	}
	now := time.Now().UTC().Round(0)
	for _, r := range records {
		state := replicas.Restored(states[r.Unit], now)
		w.loop.Restore(r.Unit, state)
		if hpa := w.objects.get(objectOfUnit(r.Unit)); hpa != nil && h.doubt != nil && state.Resume.Intent != nil {
			// Whether the change was made is told by the count as it is.
			h.doubt(kube.Ref{Namespace: hpa.Namespace, Kind: hpa.Spec.ScaleTargetRef.Kind, Name: hpa.Spec.ScaleTargetRef.Name})
		}
	}
	telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelInfo, "Took the histories over", slog.Int("objects", len(records)))
}

// check is readiness' detail.
func (h *history) check() health.Check {
	if h != nil && h.store != nil {
		return h.store.Check()
	}
	return health.Check{Name: "history", Func: func(context.Context) (string, error) {
		if h == nil {
			return "not kept", nil
		}
		return fmt.Sprintf("not kept: %s", h.missing), nil
	}}
}
