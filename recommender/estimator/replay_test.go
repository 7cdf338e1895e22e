package estimator

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// observed hands a world's snapshots to a loop and takes what it recommends.
type observed struct {
	world  *world
	shown  Recommendation
	policy *verticalpolicy.Recommender
}

func (o *observed) Observe(context.Context, decision.Unit, time.Time) (Snapshot, error) {
	s := o.world.pass()
	s.VPA.Recommended = o.shown
	o.attached(&s)
	return s, nil
}

// Act fails now and then, so that outcomes matter to the state.
func (o *observed) Act(_ context.Context, d Decision) decision.Outcome {
	if o.world.random.IntN(4) == 0 {
		return decision.Outcome{Result: decision.Failed, Error: "refused"}
	}
	o.shown = d.To
	return decision.Outcome{Result: decision.Succeeded}
}

// TestReplayGivesTheSame records random clusters in a ledger and replays it. The
// first state comes from a checkpoint, as after a restart.
func TestReplayGivesTheSame(t *testing.T) {
	dir := t.TempDir()
	writer, err := ledger.Open[Snapshot, State, Decision](ledger.Config{Dir: dir, Component: Component, Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	const worlds, turns = 6, 80
	for seed := range uint64(worlds) {
		o := &observed{world: newWorld(2000 + seed)}
		l, err := loop.New(loop.Config[Snapshot, State, Decision]{
			Rules: Rules(), Observer: o, Actuator: o, Recorder: writer, Clock: clock.RealClock{},
			OnRecordError: func(err error) { t.Error(err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		unit := decision.Unit{Kind: Kind, Namespace: "shop", Name: "orders", UID: "u1"}
		_, before := days(1, Amounts{CPU: ptr(100), Memory: ptr(256 << 20)}, nil)
		l.Restore(unit, State{Learned: before.Learned})
		for range turns {
			if _, _, err := l.Turn(t.Context(), unit); err != nil {
				t.Fatal(err)
			}
		}
		l.Forget(unit)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	replayed := 0
	files, err := filepath.Glob(filepath.Join(dir, "*"+ledger.Extension))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		report, err := ledger.Replay(f, Rules())
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		replayed += report.Decisions
		for _, d := range report.Differences {
			t.Errorf("%s: %s: recorded %s, replayed %s", d.At, d.Path, d.Recorded, d.Replayed)
		}
	}
	if replayed != worlds*turns {
		t.Errorf("%d decisions were replayed, want %d", replayed, worlds*turns)
	}
}
