package collector_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// telling is a fake whose system tells of changes.
type telling struct {
	*fake
	words chan struct{}
	// ends makes a watch end at once; watched counts the watches.
	ends    atomic.Bool
	watched atomic.Int32
}

func (t *telling) Open() (source.Poller, error) {
	opened, err := t.fake.Open()
	return &tellingPoller{opened, t}, err
}

type tellingPoller struct {
	source.Poller
	t *telling
}

func (p *tellingPoller) Watch(ctx context.Context, changed func()) error {
	p.t.watched.Add(1)
	for !p.t.ends.Load() {
		select {
		case <-ctx.Done():
			return source.Errorf(source.ReasonUnreachable, "ended")
		case <-p.t.words:
			changed()
		}
	}
	return source.Errorf(source.ReasonUnreachable, "gone")
}

func newTelling() *telling {
	return &telling{fake: &fake{key: "q"}, words: make(chan struct{})}
}

// after gives the polls that began at or after a time.
func after(polls []time.Time, at time.Time) []time.Time {
	for i, p := range polls {
		if !p.Before(at) {
			return polls[i:]
		}
	}
	return nil
}

func TestAWordOfChangeIsPolledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		f := newTelling()
		subscribe(t, c, "a", f, 10*time.Second)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		f.words <- struct{}{}
		synctest.Wait()
		if polls := f.polls(); len(polls) != 2 || time.Since(polls[1]) != 0 {
			t.Fatalf("polled at %v: want once at the start and once now, %v", polls, time.Now())
		}
		// Many words: one poll per 50 ms, and one after the last word.
		began := time.Now()
		for range 1000 {
			time.Sleep(time.Millisecond)
			f.words <- struct{}{}
		}
		last := time.Now()
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if polls := after(f.polls(), began); len(polls) < 19 || len(polls) > 22 {
			t.Errorf("1000 words in a second were followed by %d polls, want about 20", len(polls))
		}
		if len(after(f.polls(), last)) == 0 {
			t.Error("no poll after the last word")
		}
		// The interval goes on.
		before := len(f.polls())
		time.Sleep(10600 * time.Millisecond)
		if got := len(f.polls()) - before; got != 1 {
			t.Errorf("%d polls in one interval without a word, want 1", got)
		}
		c.Close()
	})
}

func TestWordsDoNotHurryAFailingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, &notified{})
		f := newTelling()
		f.answer = func(context.Context, int) (query.Reading, error) {
			return query.Reading{}, source.Errorf(source.ReasonBadReply, "rubbish")
		}
		subscribe(t, c, "a", f, time.Second)
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			f.words <- struct{}{}
		}
		synctest.Wait()
		if polls := f.polls(); len(polls) > 11 {
			t.Errorf("%d polls of a failing source in 10 s", len(polls))
		}
		c.Close()
	})
}

func TestAWatchThatEndsIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &observed{}
		c, err := collector.New(collector.Config{Clock: clock.RealClock{}, Notify: func(string) {}, Observer: seen})
		if err != nil {
			t.Fatal(err)
		}
		f := newTelling()
		f.ends.Store(true)
		subscribe(t, c, "a", f, time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		// 1, 2, 4, 8, 16 and then 30 s apart.
		if got := f.watched.Load(); got < 5 || got > 7 {
			t.Errorf("%d watches in a minute, want about 6", got)
		}
		if got := len(f.polls()); got < 56 {
			t.Errorf("%d polls in a minute at one a second: the interval did not go on", got)
		}
		f.ends.Store(false)
		time.Sleep(time.Minute)
		f.words <- struct{}{}
		synctest.Wait()
		if got := f.polls(); time.Since(got[len(got)-1]) != 0 {
			t.Error("a word of the watch that was begun again was not followed by a poll")
		}
		if seen.pushed.Load() != 1 || seen.ended.Load() < 5 {
			t.Errorf("observed %d words and %d ends", seen.pushed.Load(), seen.ended.Load())
		}
		c.Close()
		synctest.Wait()
		if _, closed := f.counts(); closed != 1 {
			t.Errorf("closed %d times", closed)
		}
	})
}

// observed counts what a collector tells.
type observed struct {
	polled, heldBack, pushed, ended atomic.Int32
	waited                          atomic.Int64
}

func (o *observed) Polled(p collector.Polled)      { o.polled.Add(1); o.waited.Add(int64(p.Waited)) }
func (o *observed) HeldBack(string)                { o.heldBack.Add(1) }
func (o *observed) Pushed(string)                  { o.pushed.Add(1) }
func (o *observed) WatchEnded(kind, reason string) { o.ended.Add(1) }
