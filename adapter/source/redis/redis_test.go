package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/redis"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
)

// TestOneServer shares one plain server between what needs no other.
func TestOneServer(t *testing.T) {
	s := start(t, func(r *brokers.Redis) { r.Events = "Klt" })
	for name, test := range map[string]func(*testing.T, *running){
		"a list":                               testList,
		"a stream":                             testStream,
		"the oldest entry":                     testOldest,
		"a database":                           testDatabase,
		"keys that are not there":              testMissing,
		"entries deleted before they are read": testDeletedEntries,
		"entries removed by a limit":           testTrimmedEntries,
		"events of a list":                     testEventsOfList,
		"events of a stream":                   testEventsOfStream,
		"connections are shared":               testSharedConnections,
		"many at the same time":                testMany,
		"replies for people":                   testRecord,
		"any interleaving":                     testAnyInterleaving,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

func testList(t *testing.T, s *running) {
	p := open(t, list(s.Address(), "jobs"), nil)
	before := time.Now()
	empty := mustPoll(t, p)
	if diff := cmp.Diff(map[string]float64{"Depth": 0}, numbers(empty)); diff != "" {
		t.Errorf("a list without elements (-want +got):\n%s", diff)
	}
	if empty.At.Before(before.Round(0)) || empty.At.After(time.Now()) {
		t.Errorf("measured at %s, outside of the poll", empty.At)
	}
	s.do(t, "RPUSH", "jobs", "a", "b", "c")
	if diff := cmp.Diff(map[string]float64{"Depth": 3}, numbers(mustPoll(t, p))); diff != "" {
		t.Errorf("a list of three (-want +got):\n%s", diff)
	}
}

func testStream(t *testing.T, s *running) {
	s.makeStream(t, "orders", 0)
	p := open(t, stream(s.Address(), "orders"), nil)
	empty := mustPoll(t, p)
	if diff := cmp.Diff(map[string]float64{"Pending": 0, "AckPending": 0, "arrived": 0}, numbers(empty)); diff != "" {
		// A group that read nothing yet has no count of what it read.
		if diff := cmp.Diff(map[string]float64{"Pending": 0, "AckPending": 0, "arrived": 0, "drained": 0}, numbers(empty)); diff != "" {
			t.Errorf("an empty stream (-want +got):\n%s", diff)
		}
	}
	s.add(t, "orders", 10)
	s.take(t, "orders", 6, 4)
	full := mustPoll(t, p)
	want := map[string]float64{"Pending": 4, "AckPending": 2, "arrived": 10, "drained": 4}
	if diff := cmp.Diff(want, numbers(full)); diff != "" {
		t.Errorf("a stream in use (-want +got):\n%s", diff)
	}
	if full.Epoch != empty.Epoch || full.Epoch == "" {
		t.Errorf("the epoch went from %q to %q, and the server is the same", empty.Epoch, full.Epoch)
	}
}

func testOldest(t *testing.T, s *running) {
	s.makeStream(t, "aged", 0)
	p := open(t, stream(s.Address(), "aged"), nil, query.OldestAge)
	if got := mustPoll(t, p).Gauges[query.OldestAge]; got.Presence != query.Empty {
		t.Errorf("an empty stream has an oldest entry: %+v", got)
	}
	id := func(ago time.Duration) string { return fmt.Sprintf("%d-0", time.Now().Add(-ago).UnixMilli()) }
	s.do(t, "XADD", "aged", id(time.Hour), "n", 1)
	s.do(t, "XADD", "aged", id(time.Minute), "n", 2)
	about := func(want time.Duration) {
		t.Helper()
		got := mustPoll(t, p).Gauges[query.OldestAge]
		if off := got.Value - want.Seconds(); got.Presence != query.Number || off < -1 || off > 10 {
			t.Errorf("the oldest entry is %+v old, want about %s", got, want)
		}
	}
	about(time.Hour) // waits
	s.take(t, "aged", 1, 0)
	about(time.Hour) // is pending
	s.take(t, "aged", 1, 1)
	about(time.Hour) // is still pending, after a newer one was acknowledged
	ids, err := s.admin.XRange(t.Context(), "aged", "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, "XACK", "aged", "workers", ids[0].ID)
	if got := mustPoll(t, p).Gauges[query.OldestAge]; got.Presence != query.Empty {
		t.Errorf("all is done with, and the oldest entry is %+v", got)
	}
}

func testDatabase(t *testing.T, s *running) {
	third := goredis.NewClient(&goredis.Options{Addr: s.Address(), DB: 3})
	defer func() { _ = third.Close() }()
	if err := third.RPush(t.Context(), "third", 1, 2).Err(); err != nil {
		t.Fatal(err)
	}
	spec := list(s.Address(), "third")
	spec.Database = 3
	if diff := cmp.Diff(map[string]float64{"Depth": 2}, numbers(mustPoll(t, open(t, spec, nil)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	spec.Database = 99
	wantFailure(t, open(t, spec, nil), pollTimeout, source.ReasonFailed)
}

func testMissing(t *testing.T, s *running) {
	s.do(t, "XADD", "groupless", "*", "n", 1)
	s.do(t, "SET", "text", "x")
	for name, test := range map[string]struct {
		spec v1alpha1.RedisSource
		want string
	}{
		"no stream":          {stream(s.Address(), "nowhere"), "StreamNotFound"},
		"no group":           {stream(s.Address(), "groupless"), "GroupNotFound"},
		"a text as a stream": {stream(s.Address(), "text"), "WrongType"},
		"a text as a list":   {list(s.Address(), "text"), "WrongType"},
		"a stream as a list": {list(s.Address(), "groupless"), "WrongType"},
	} {
		t.Run(name, func(t *testing.T) {
			wantFailure(t, open(t, test.spec, nil), pollTimeout, test.want)
			wantFailure(t, open(t, test.spec, nil, query.OldestAge), pollTimeout, test.want)
		})
	}
}

// testDeletedEntries is about what the server itself gives no lag for.
func testDeletedEntries(t *testing.T, s *running) {
	s.makeStream(t, "holed", 0)
	ids := s.add(t, "holed", 10)
	s.take(t, "holed", 2, 2)
	s.do(t, "XDEL", "holed", ids[5], ids[7]) // two that wait
	groups, err := s.admin.XInfoGroups(t.Context(), "holed").Result()
	if err != nil || groups[0].Lag != -1 {
		t.Fatalf("the server tells the lag (%+v, %v): this tests nothing", groups, err)
	}
	p := open(t, stream(s.Address(), "holed"), nil)
	got := mustPoll(t, p)
	if pending := numbers(got)["Pending"]; pending != 6 {
		t.Errorf("Pending is %v of 10 entries with 2 read and 2 deleted, want 6", pending)
	}
	// Too many on both sides of the last that was read: then nothing is guessed.
	s.add(t, "holed", 300)
	s.take(t, "holed", 150, 150)
	last := s.add(t, "holed", 1)
	s.add(t, "holed", 1)
	s.do(t, "XDEL", "holed", last[0])
	if got := mustPoll(t, p).Gauges[query.Pending]; got.Presence != query.Empty {
		t.Errorf("Pending is %+v where it cannot be told", got)
	}
}

func testTrimmedEntries(t *testing.T, s *running) {
	s.makeStream(t, "short", 10)
	s.take(t, "short", 2, 2)
	s.do(t, "XTRIM", "short", "MAXLEN", 3)
	if pending := numbers(mustPoll(t, open(t, stream(s.Address(), "short"), nil)))["Pending"]; pending != 3 {
		t.Errorf("Pending is %v of a stream of 3 entries", pending)
	}
}

func testSharedConnections(t *testing.T, s *running) {
	ours := func() int {
		text, _ := s.do(t, "CLIENT", "LIST").(string)
		return strings.Count(text, "name=quartet-metrics-adapter")
	}
	none := func() error {
		if got := ours(); got > 0 {
			return fmt.Errorf("%d connections are left", got)
		}
		return nil
	}
	eventually(t, "those of the tests before are closed", none)
	builder := redis.NewBuilder()
	var pollers []source.Poller
	for _, key := range []string{"one", "two", "three"} {
		spec := list(s.Address(), key)
		built, err := builder.Build(t.Context(), source.Request{Source: v1alpha1.Source{Redis: &spec}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := built.Open()
		if err != nil {
			t.Fatal(err)
		}
		mustPoll(t, p)
		pollers = append(pollers, p)
	}
	if got := ours(); got != 1 {
		t.Errorf("three pollers, one after the other, hold %d connections, want 1", got)
	}
	for _, p := range pollers {
		p.Close()
		p.Close() // closing twice is closing once
	}
	eventually(t, "the connection is closed", none)
}

// testMany polls and watches with more pollers than there may be connections.
func testMany(t *testing.T, s *running) {
	const many = 30
	builder := redis.NewBuilder()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failures := make(chan error, many)
	listening := make(chan struct{}, many)
	for i := range many {
		spec := list(s.Address(), fmt.Sprintf("many-%d", i))
		spec.KeyspaceEvents = true
		built, err := builder.Build(ctx, source.Request{Source: v1alpha1.Source{Redis: &spec}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := built.Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		pusher, _ := p.(source.Pusher)
		go func() { _ = pusher.Watch(ctx, func() { listening <- struct{}{} }) }()
		go func() {
			_, err := poll(t, p, pollTimeout)
			failures <- err
		}()
	}
	for range many {
		if err := <-failures; err != nil {
			t.Error(err)
		}
		heard(t, listening)
	}
}

func testRecord(t *testing.T, s *running) {
	s.do(t, "RPUSH", "recorded", "a", "b")
	var recorder source.Recorder
	if _, err := open(t, list(s.Address(), "recorded"), nil).Poll(source.WithRecorder(t.Context(), &recorder)); err != nil {
		t.Fatal(err)
	}
	want := []source.Reply{{From: s.Address(), Body: []byte("LLEN recorded -> 2\n")}}
	if diff := cmp.Diff(want, recorder.Take()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
