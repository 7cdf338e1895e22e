package collector_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// server is one that many queries ask.
type server struct {
	address string
	// away makes it silent: polls last until their timeout.
	away atomic.Bool
	took time.Duration

	mu             sync.Mutex
	running, most  int
	polled         []time.Time
	lastSuccessful map[string]time.Time
}

func (s *server) query(i int) *fake {
	key := fmt.Sprintf("%s-%d", s.address, i)
	return &fake{key: key, at: s.address, answer: func(ctx context.Context, _ int) (query.Reading, error) {
		s.mu.Lock()
		s.running++
		s.most = max(s.most, s.running)
		s.polled = append(s.polled, time.Now())
		s.mu.Unlock()
		defer func() { s.mu.Lock(); s.running--; s.mu.Unlock() }()
		if s.away.Load() {
			<-ctx.Done()
			return query.Reading{}, source.Errorf(source.ReasonTimeout, "%s gave no answer", s.address)
		}
		select {
		case <-ctx.Done():
			return query.Reading{}, ctx.Err()
		case <-time.After(s.took):
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lastSuccessful == nil {
			s.lastSuccessful = map[string]time.Time{}
		}
		s.lastSuccessful[key] = time.Now()
		return reading(1), nil
	}}
}

func (s *server) polls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.polled)
}

// current counts the queries that were answered since a time.
func (s *server) current(since time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, at := range s.lastSuccessful {
		if !at.Before(since) {
			n++
		}
	}
	return n
}

func TestOneServerIsNotStormed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &observed{}
		c, err := collector.New(collector.Config{
			Clock: clock.RealClock{}, Notify: func(string) {}, Observer: seen,
			Limits: collector.Limits{Concurrent: 3, PerSecond: 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &server{address: "busy:1", took: 100 * time.Millisecond}
		for i := range 200 {
			subscribe(t, c, fmt.Sprint(i), s.query(i), time.Second)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s.most != 3 {
			t.Errorf("%d polls at the same time, want 3", s.most)
		}
		if n := s.polls(); n < 380 || n > 403 {
			t.Errorf("%d polls in 20 s at 20 a second", n)
		}
		// Those that wait go in turn: nobody is left behind.
		if n := s.current(time.Now().Add(-11 * time.Second)); n != 200 {
			t.Errorf("%d of 200 queries were answered in the last 11 s", n)
		}
		if seen.waited.Load() == 0 {
			t.Error("nobody was told that polls wait")
		}
		c.Close()
	})
}

func TestADeadServerHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &observed{}
		c, err := collector.New(collector.Config{Clock: clock.RealClock{}, Notify: func(string) {}, Observer: seen})
		if err != nil {
			t.Fatal(err)
		}
		dead := &server{address: "dead:1"}
		dead.away.Store(true)
		const queries = 100
		for i := range queries {
			subscribe(t, c, fmt.Sprint("dead", i), dead.query(i), time.Second)
		}
		live := make([]*server, 100)
		for i := range live {
			live[i] = &server{address: fmt.Sprintf("live:%d", i), took: time.Millisecond}
			subscribe(t, c, fmt.Sprint("live", i), live[i].query(0), time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i, s := range live {
			if n := s.polls(); n < 56 {
				t.Errorf("live server %d was polled %d times in a minute", i, n)
			}
		}
		if _, warm := c.Warm(); !warm {
			t.Error("not warm")
		}
		// The first polls, and then one at a time, each for its timeout of a second.
		if n := dead.polls(); n > 100 || n < 30 {
			t.Errorf("the dead server was polled %d times in a minute", n)
		}
		if seen.heldBack.Load() == 0 || c.Away()["fake"] != 1 {
			t.Errorf("%d polls held back, servers away: %v", seen.heldBack.Load(), c.Away())
		}
		explained := 0
		for i := range queries {
			got := c.Poll(fmt.Sprint("dead", i)).LastFailure
			if got == nil || got.Reason != source.ReasonTimeout || !strings.Contains(got.Message, "dead:1") {
				t.Fatalf("the failure of query %d is %+v", i, got)
			}
			if strings.Contains(got.Message, "one at a time tries until one is answered; the first failure: dead:1 gave no answer") {
				explained++
			}
		}
		if explained < queries/2 {
			t.Errorf("%d of %d failures say that polls are held back", explained, queries)
		}

		dead.away.Store(false)
		revived := time.Now()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := dead.current(revived); n != queries {
			t.Errorf("3 s after the server came back %d of %d queries were answered", n, queries)
		}
		if len(c.Away()) != 0 {
			t.Errorf("servers away: %v", c.Away())
		}
		c.Close()
	})
}

// TestSlowQueriesDoNotHoldBackAGoodOne: a server that answers one query and is
// too slow for fifty others of it.
func TestSlowQueriesDoNotHoldBackAGoodOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		slow := &server{address: "db:1"}
		slow.away.Store(true)
		for i := range 50 {
			subscribe(t, c, fmt.Sprint("slow", i), slow.query(i), 10*time.Second)
		}
		good := &fake{key: "good", at: "db:1"}
		time.Sleep(30 * time.Second)
		subscribe(t, c, "good", good, 2*time.Second)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		answered := 0
		for _, at := range good.polls() {
			if time.Since(at) < time.Minute {
				answered++
			}
		}
		if answered < 20 {
			t.Errorf("the good query was answered %d times in the last minute at one every 2 s", answered)
		}
		c.Close()
	})
}

func TestRefusedCredentialsAreTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		f := &fake{key: "q", answer: func(context.Context, int) (query.Reading, error) {
			return query.Reading{}, source.Errorf(source.ReasonUnauthorized, "no")
		}}
		subscribe(t, c, "a", f, time.Second)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(f.polls()); n < 12 || n > 20 {
			t.Errorf("%d polls with refused credentials in 10 minutes", n)
		}
		if len(c.Away()) != 0 {
			t.Error("a server that refuses is there")
		}
		c.Close()
	})
}

func TestLimitsMustBePositive(t *testing.T) {
	_, err := collector.New(collector.Config{
		Clock: clock.RealClock{}, Notify: func(string) {}, Limits: collector.Limits{Concurrent: 1},
	})
	if err == nil {
		t.Error("a collector that never polls was made")
	}
}
