package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/crash"
)

var (
	soakRounds = flag.Int("soak-rounds", 2, "rounds of TestSoak in which a binary is killed, for each binary")
	soakSeed   = flag.Uint64("soak-seed", 1, "seed of the moments at which TestSoak kills")
)

// soak is how one binary is killed.
type soak struct {
	binary string
	// prepare, if not nil, makes what lasts over all rounds, and returns more that
	// holds after each of them.
	prepare func(*stage) []crash.Invariant
	// play plays the scene on a stage of its own and returns how things stand in
	// the end.
	play func(*stage) crash.Outcome
	// invariants hold after every round, whatever its stage.
	invariants []crash.Invariant
}

// soaks are the binaries that TestSoak kills. Those of a group need one another,
// and so have their turn one after the other; the groups do not.
var soaks = map[string][]soak{
	"replicas": {
		{binary: "metrics-adapter", play: playQueue},
		{binary: "hpa-controller", play: playQueue, prepare: witnessRates},
	},
	"history": {
		{binary: "vpa-recommender", play: playHistory, prepare: witnessHistory},
	},
	"requests": {
		{binary: "vpa-updater", play: playUpdates, prepare: awaitAdmission},
		{binary: "vpa-admission", play: playAdmissions, prepare: witnessCertificate},
	},
	"nodes": {
		{binary: "cluster-scaler", play: playPool, invariants: []crash.Invariant{
			{Name: "no drain is orphaned", Check: noDrainLeft},
			{Name: "no node without its pool", Check: noNodeWithoutPool},
		}},
	},
}

// TestSoak kills each binary with -9 at moments chosen by chance, in the middle
// of its work: in the end everything is as without the crash. Not parallel: the
// other tests share the binaries. Its groups are, to one another.
func TestSoak(t *testing.T) {
	for name, group := range soaks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, one := range group {
				t.Run(one.binary, one.run)
			}
		})
	}
}

func (k soak) run(t *testing.T) {
	process := suite.release.Process(k.binary)
	if process == nil {
		t.Fatalf("the chart runs no %s", k.binary)
	}
	invariants := k.invariants
	if k.prepare != nil {
		s := newStage(t, suite.lab)
		s.removeAfter()
		invariants = append(slices.Clone(invariants), k.prepare(s)...)
	}
	before := process.Restarts()
	err := crash.Run(t.Context(), crash.Config{
		Victim: process, Rounds: *soakRounds, Seed: *soakSeed, Logf: t.Logf,
		Play:       func(_ context.Context, round int) (crash.Outcome, error) { return playRound(t, round, k.play) },
		Killed:     func(ctx context.Context) error { return expireLease(ctx, k.binary) },
		Invariants: invariants,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := process.Restarts() - before; got < *soakRounds {
		t.Errorf("%d restarts in %d rounds: was it killed at all?", got, *soakRounds)
	}
}

// playRound plays a round as a test of its own, so that what it started ends with
// it, and removes its namespace.
func playRound(t *testing.T, round int, play func(*stage) crash.Outcome) (outcome crash.Outcome, err error) {
	passed := t.Run(strconv.Itoa(round), func(t *testing.T) {
		s := newStage(t, suite.lab)
		s.removeAfter()
		outcome = play(s)
	})
	if !passed {
		return nil, errors.New("the scene failed")
	}
	return outcome, nil
}

// removeAfter removes the namespace when the test ends.
func (s *stage) removeAfter() {
	s.after(func(ctx context.Context) error {
		return s.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
	})
}

// after cleans up when the test ends, at which its context is over.
func (s *stage) after(clean func(context.Context) error) {
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 10*time.Second)
		defer cancel()
		if err := clean(ctx); err != nil {
			s.t.Errorf("clean up: %v", err)
		}
	})
}

// expireLease takes a killed leader's lease away, as time would: the rounds do not
// wait for that. TestKilledBinariesComeBack does. vpa-admission has none: each
// replica serves.
func expireLease(ctx context.Context, name string) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: suite.release.Namespace(), Name: name}}
	return ctrlclient.IgnoreNotFound(suite.lab.Client().Delete(ctx, lease))
}

// playQueue is the whole loop: a queue fills, workers come, the queue drains, the
// workers go.
func playQueue(s *stage) crash.Outcome {
	s.t.Helper()
	s.withQueueLoop()
	s.fill(60)
	s.awaitReplicas(3, 3, 60*time.Second)
	full := s.replicas()
	s.work(20)
	s.awaitDrained(60 * time.Second)
	return crash.Outcome{
		"replicas of the full queue":  fmt.Sprint(full),
		"replicas of the empty queue": fmt.Sprint(s.replicas()),
		"messages lost":               fmt.Sprint(s.tally.Counts().Depth()),
	}
}
