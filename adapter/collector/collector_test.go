package collector_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
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

// fake is a source whose answers a test chooses. It notes when it was polled.
type fake struct {
	key, subject string
	// at is the server's address, the key where it is empty.
	at     string
	answer func(ctx context.Context, n int) (query.Reading, error)

	mu     sync.Mutex
	polled []time.Time
	opened int
	closed int
}

func (f *fake) Kind() string    { return "fake" }
func (f *fake) Key() string     { return f.key }
func (f *fake) Subject() string { return f.subject }
func (f *fake) String() string  { return "fake " + f.key + " at " + cmp.Or(f.at, f.key) }

func (f *fake) Open() (source.Poller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return &fakePoller{f}, nil
}

type fakePoller struct{ f *fake }

func (p *fakePoller) Close() {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	p.f.closed++
}

func (p *fakePoller) Poll(ctx context.Context) (query.Reading, error) {
	p.f.mu.Lock()
	p.f.polled = append(p.f.polled, time.Now())
	n := len(p.f.polled)
	p.f.mu.Unlock()
	if p.f.answer == nil {
		return reading(float64(n)), nil
	}
	return p.f.answer(ctx, n)
}

func (f *fake) polls() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.polled)
}

func (f *fake) counts() (opened, closed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, f.closed
}

func reading(depth float64) query.Reading {
	return query.Reading{At: time.Now().UTC(), Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(depth)}}
}

// notified collects the subscribers that were told of something new.
type notified struct {
	mu  sync.Mutex
	ids map[string]int
}

func (n *notified) add(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil {
		n.ids = map[string]int{}
	}
	n.ids[id]++
}

func (n *notified) count(id string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ids[id]
}

func newCollector(t *testing.T, n *notified) *collector.Collector {
	t.Helper()
	c, err := collector.New(collector.Config{Clock: clock.RealClock{}, Notify: n.add})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func subscribe(t *testing.T, c *collector.Collector, id string, q source.Query, interval time.Duration) {
	t.Helper()
	if err := c.Subscribe(collector.Subscription{ID: id, Query: q, Interval: interval, Timeout: time.Second}); err != nil {
		t.Fatal(err)
	}
}

// within checks that the gaps between polls are the wanted ones, give or take
// the jitter.
func within(t *testing.T, polls []time.Time, want ...time.Duration) {
	t.Helper()
	if len(polls) != len(want)+1 {
		t.Fatalf("%d polls, want %d", len(polls), len(want)+1)
	}
	for i, w := range want {
		gap := polls[i+1].Sub(polls[i])
		if float64(gap) < 0.94*float64(w) || float64(gap) > 1.06*float64(w) || gap < collector.MinInterval {
			t.Errorf("gap %d is %s, want about %s", i, gap, w)
		}
	}
}

func TestOnePollForOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notified
		c := newCollector(t, &n)
		first := &fake{key: "q", subject: "s"}
		for _, id := range []string{"a", "b", "c"} {
			subscribe(t, c, id, first, 10*time.Second)
		}
		same := &fake{key: "q", subject: "s"}
		subscribe(t, c, "d", same, 10*time.Second)
		time.Sleep(35 * time.Second)
		synctest.Wait()

		if polls := first.polls(); len(polls) != 4 {
			t.Errorf("four subscribers made %d polls in 35 s at one every 10 s, want 4", len(polls))
		}
		if opened, _ := same.counts(); opened != 0 {
			t.Error("a second poller was opened for the same question")
		}
		for _, id := range []string{"a", "b", "c", "d"} {
			if got := n.count(id); got != 4 {
				t.Errorf("%s was told %d times, want 4", id, got)
			}
			if got := c.Poll(id); got.Reading == nil || got.Reading.Gauges[query.Depth].Value != 4 {
				t.Errorf("%s sees %+v", id, got)
			}
		}
		if queries, subscribers := c.Size(); queries != 1 || subscribers != 4 {
			t.Errorf("%d queries of %d subscribers, want 1 of 4", queries, subscribers)
		}
		c.Close()
	})
}

func TestTheShortestIntervalHoldsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		f := &fake{key: "q"}
		subscribe(t, c, "slow", f, time.Hour)
		time.Sleep(5 * time.Second)
		subscribe(t, c, "fast", f, 10*time.Millisecond) // raised to MinInterval
		time.Sleep(4500 * time.Millisecond)
		synctest.Wait()
		if polls := f.polls(); len(polls) < 4 || len(polls) > 6 {
			t.Errorf("%d polls: want 1 and then one a second", len(polls))
		}
		c.Unsubscribe("fast")
		before := len(f.polls())
		time.Sleep(10 * time.Minute)
		if more := len(f.polls()) - before; more > 1 {
			t.Errorf("%d polls after the fast subscriber left", more)
		}
		c.Close()
	})
}

func TestFailuresBackOffAndKeepTheLastReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		var down atomic.Bool
		down.Store(true)
		f := &fake{key: "q", answer: func(_ context.Context, n int) (query.Reading, error) {
			if n > 1 && down.Load() {
				return query.Reading{}, source.Errorf(source.ReasonUnreachable, "gone")
			}
			return reading(float64(n)), nil
		}}
		subscribe(t, c, "a", f, 2*time.Second)
		time.Sleep(45 * time.Second)
		synctest.Wait()
		within(t, f.polls(), 2*time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 10*time.Second, 10*time.Second)
		got := c.Poll("a")
		if got.Reading == nil || got.Reading.Gauges[query.Depth].Value != 1 {
			t.Errorf("the last good reading is gone: %+v", got.Reading)
		}
		if !got.Failing || got.LastFailure.Reason != source.ReasonUnreachable || got.LastFailure.InRow != 6 {
			t.Errorf("the failure is %+v, failing %t", got.LastFailure, got.Failing)
		}
		down.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		got = c.Poll("a")
		if got.Failing || got.LastFailure == nil {
			t.Errorf("after recovery: failing %t, last failure %v", got.Failing, got.LastFailure)
		}
		c.Close()
	})
}

func TestASlowSourceHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		slow := &fake{key: "slow", answer: func(ctx context.Context, _ int) (query.Reading, error) {
			<-ctx.Done()
			return query.Reading{}, ctx.Err()
		}}
		quick := &fake{key: "quick"}
		subscribe(t, c, "slow", slow, time.Second)
		subscribe(t, c, "quick", quick, time.Second)
		if _, warm := c.Warm(); warm {
			t.Error("warm before the first poll")
		}
		time.Sleep(10500 * time.Millisecond)
		synctest.Wait()
		if polls := quick.polls(); len(polls) < 10 {
			t.Errorf("the quick source was polled %d times in 10 s", len(polls))
		}
		if got := c.Poll("slow"); !got.Failing || got.LastFailure.Reason != source.ReasonTimeout {
			t.Errorf("the slow source's failure is %+v", got.LastFailure)
		}
		if _, warm := c.Warm(); !warm {
			t.Error("not warm, and each source was polled or failed")
		}
		c.Close()
	})
}

func TestAnErrorOfUnknownOriginShowsNoText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		f := &fake{key: "q", answer: func(context.Context, int) (query.Reading, error) {
			return query.Reading{}, errors.New("password hunter22 refused")
		}}
		subscribe(t, c, "a", f, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := c.Poll("a").LastFailure; got == nil || got.Message != "the poll failed (*errors.errorString)" {
			t.Errorf("the failure is %+v", got)
		}
		c.Close()
	})
}

func TestNewCredentialsCarryTheReadingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		old := &fake{key: "old", subject: "s"}
		subscribe(t, c, "a", old, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		silent := func(ctx context.Context, _ int) (query.Reading, error) {
			<-ctx.Done()
			return query.Reading{}, ctx.Err()
		}
		subscribe(t, c, "a", &fake{key: "new", subject: "s", answer: silent}, time.Second)
		if got := c.Poll("a"); got.Reading == nil {
			t.Error("the reading was dropped with the old credentials")
		}
		if _, warm := c.Warm(); warm {
			t.Error("a carried reading is no poll")
		}
		subscribe(t, c, "a", &fake{key: "other", subject: "another", answer: silent}, time.Second)
		if got := c.Poll("a"); got.Reading != nil {
			t.Error("the reading of another subject was carried over")
		}
		synctest.Wait()
		if _, closed := old.counts(); closed != 1 {
			t.Errorf("the old poller was closed %d times, want 1", closed)
		}
		c.Close()
	})
}

func TestTheLastSubscriberEndsThePoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		f := &fake{key: "q"}
		subscribe(t, c, "a", f, time.Second)
		subscribe(t, c, "b", f, time.Second)
		c.Unsubscribe("a")
		c.Unsubscribe("a")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(f.polls()) < 2 {
			t.Error("polling ended with the first of two subscribers")
		}
		c.Unsubscribe("b")
		synctest.Wait()
		before := len(f.polls())
		time.Sleep(time.Minute)
		if _, closed := f.counts(); closed != 1 || len(f.polls()) != before {
			t.Errorf("closed %d times, %d polls after the end", closed, len(f.polls())-before)
		}
		if got := c.Poll("b"); got.Reading != nil {
			t.Error("a reading outlived its subscriber")
		}
		c.Close()
		if err := c.Subscribe(collector.Subscription{ID: "a", Query: f}); err == nil {
			t.Error("a closed collector took a subscriber")
		}
	})
}

func TestCloseEndsAPollUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notified
		c := newCollector(t, &n)
		f := &fake{key: "q", answer: func(ctx context.Context, _ int) (query.Reading, error) {
			<-ctx.Done()
			return query.Reading{}, ctx.Err()
		}}
		subscribe(t, c, "a", f, time.Second)
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		c.Close()
		synctest.Wait()
		if _, closed := f.counts(); closed != 1 || n.count("a") != 0 {
			t.Errorf("closed %d times, told %d times; want 1 and 0", closed, n.count("a"))
		}
	})
}
