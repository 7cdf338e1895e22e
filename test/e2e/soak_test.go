package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
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

// soaks are the binaries that TestSoak kills.
var soaks = []struct {
	binary string
	// play plays the scene on a stage of its own and returns how things stand in
	// the end.
	play func(*stage) crash.Outcome
	// invariants hold after every round, whatever its stage.
	invariants []crash.Invariant
}{
	{binary: "metrics-adapter", play: playQueue},
	{binary: "hpa-controller", play: playQueue},
}

// TestSoak kills each binary with -9 at moments chosen by chance, in the middle
// of its work: in the end everything is as without the crash. Not parallel: the
// other tests share the binaries.
func TestSoak(t *testing.T) {
	for _, soak := range soaks {
		t.Run(soak.binary, func(t *testing.T) {
			process := suite.release.Process(soak.binary)
			if process == nil {
				t.Fatalf("the chart runs no %s", soak.binary)
			}
			before := process.Restarts()
			err := crash.Run(t.Context(), crash.Config{
				Victim: process, Rounds: *soakRounds, Seed: *soakSeed, Logf: t.Logf,
				Play:       func(_ context.Context, round int) (crash.Outcome, error) { return playRound(t, round, soak.play) },
				Killed:     func(ctx context.Context) error { return expireLease(ctx, soak.binary) },
				Invariants: soak.invariants,
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := process.Restarts() - before; got < *soakRounds {
				t.Errorf("%d restarts in %d rounds: was it killed at all?", got, *soakRounds)
			}
		})
	}
}

// playRound plays a round as a test of its own, so that what it started ends with
// it, and removes its namespace.
func playRound(t *testing.T, round int, play func(*stage) crash.Outcome) (outcome crash.Outcome, err error) {
	passed := t.Run(strconv.Itoa(round), func(t *testing.T) {
		s := newStage(t, suite.lab)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
			defer cancel()
			if err := s.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}); err != nil {
				t.Errorf("remove the round's namespace: %v", err)
			}
		})
		outcome = play(s)
	})
	if !passed {
		return nil, errors.New("the scene failed")
	}
	return outcome, nil
}

// expireLease takes a killed leader's lease away, as time would: the rounds do not
// wait for that. TestKilledBinariesComeBack does.
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
