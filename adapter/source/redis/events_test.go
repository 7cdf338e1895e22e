package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

var eventually = brokertest.Eventually

// watch watches a source until the test ends, and gives its words of changes
// and, at its end, its error.
func watch(t *testing.T, spec v1alpha1.RedisSource, s brokertest.Secrets) (changes <-chan struct{}, ended <-chan error) {
	t.Helper()
	spec.KeyspaceEvents = true
	pusher, ok := open(t, spec, s).(source.Pusher)
	if !ok {
		t.Fatal("an object that asks for events has no pusher")
	}
	ctx, cancel := context.WithCancel(context.Background())
	words, end := make(chan struct{}, 100), make(chan error, 1)
	go func() { end <- pusher.Watch(ctx, func() { words <- struct{}{} }) }()
	t.Cleanup(cancel)
	return words, end
}

// heard waits for a word of a change.
func heard(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(pollTimeout):
		t.Fatal("no word of a change")
	}
}

func testEventsOfList(t *testing.T, s *running) {
	changes, _ := watch(t, list(s.Address(), "watched"), nil)
	heard(t, changes) // it listens
	s.do(t, "RPUSH", "another", 1)
	s.do(t, "RPUSH", "watched", 1)
	heard(t, changes)
	s.do(t, "LPOP", "watched")
	heard(t, changes)
	if _, pushes := open(t, list(s.Address(), "watched"), nil).(source.Pusher); pushes {
		t.Error("an object that does not ask for events has a pusher")
	}
}

func testEventsOfStream(t *testing.T, s *running) {
	s.makeStream(t, "watchedstream", 0)
	changes, _ := watch(t, stream(s.Address(), "watchedstream"), nil)
	heard(t, changes) // it listens
	s.add(t, "watchedstream", 1)
	heard(t, changes)
}

func TestEventsThatTheServerDoesNotSend(t *testing.T) {
	s := start(t, nil)
	_, ended := watch(t, list(s.Address(), "watched"), nil)
	wantEnd(t, ended, "KeyspaceEventsOff")

	s.do(t, "CONFIG", "SET", "notify-keyspace-events", "KA")
	changes, ended := watch(t, list(s.Address(), "watched"), nil)
	heard(t, changes)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, ended, source.ReasonUnreachable)
}

func TestEventsEndWithTheWatch(t *testing.T) {
	s := start(t, func(r *brokers.Redis) { r.Events = "Kl" })
	spec := list(s.Address(), "watched")
	spec.KeyspaceEvents = true
	pusher, _ := open(t, spec, nil).(source.Pusher)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pusher.Watch(ctx, cancel) }() // its first word ends it
	wantEnd(t, ended, source.ReasonUnreachable)
}

func wantEnd(t *testing.T, ended <-chan error, want string) {
	t.Helper()
	select {
	case err := <-ended:
		if reason, message := source.ReasonOf(err); reason != want {
			t.Errorf("the watch ended with %s (%s), want %s", reason, message, want)
		}
	case <-time.After(pollTimeout):
		t.Errorf("the watch does not end, want %s", want)
	}
}
