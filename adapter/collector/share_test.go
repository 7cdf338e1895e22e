package collector_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// replica is one of several, each of which is told what the others polled.
type replica struct {
	*collector.Collector
	n      int
	others *[]*replica
	// deaf replicas are told nothing.
	deaf  atomic.Bool
	ended atomic.Int32
	// key is that of the last poll.
	key atomic.Value
}

// owner is the replica that polls everything.
var owner atomic.Int32

func (r *replica) Mine(string) bool { return int(owner.Load()) == r.n }

func (r *replica) Polled(key string, s collector.Shared) {
	// As over the network: encoded, later, and outside the poller's lock.
	r.key.Store(key)
	encoded, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	for _, other := range *r.others {
		if other == r || other.deaf.Load() {
			continue
		}
		go func() {
			var decoded collector.Shared
			if err := json.Unmarshal(encoded, &decoded); err != nil {
				panic(err)
			}
			other.Deliver(key, decoded)
		}()
	}
}

func (r *replica) Ended(string) { r.ended.Add(1) }

func replicas(t *testing.T, n int) []*replica {
	t.Helper()
	owner.Store(0)
	all := make([]*replica, n)
	for i := range all {
		all[i] = &replica{n: i, others: &all}
	}
	for _, r := range all {
		var err error
		if r.Collector, err = collector.New(collector.Config{
			Clock: clock.RealClock{}, Notify: func(string) {}, Sharing: r,
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
	}
	return all
}

func TestOneReplicaPollsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := replicas(t, 3)
		fakes := make([]*fake, len(all))
		for i, r := range all {
			fakes[i] = &fake{key: "q", answer: func(context.Context, int) (query.Reading, error) {
				// A source that measures seldom: its time stands still for a while.
				return query.Reading{
					At:     time.Now().Truncate(30 * time.Second).UTC(),
					Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(float64(i))}, Epoch: "e", Delivered: []uint64{1 << 60},
				}, nil
			}}
			subscribe(t, r.Collector, "a", fakes[i], time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i, f := range fakes {
			if n := len(f.polls()); (i == 0) != (n > 50) || (i != 0 && n != 0) {
				t.Errorf("replica %d polled %d times in a minute", i, n)
			}
			if diff := cmp.Diff(all[0].Poll("a"), all[i].Poll("a")); diff != "" {
				t.Errorf("replica %d knows (-the owner +it):\n%s", i, diff)
			}
			if _, warm := all[i].Warm(); !warm {
				t.Errorf("replica %d is not warm", i)
			}
		}

		// Another owner: it polls within an interval, the first no longer.
		owner.Store(1)
		before := len(fakes[0].polls())
		moved := time.Now()
		for _, r := range all {
			r.Reassign()
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if len(after(fakes[1].polls(), moved)) == 0 {
			t.Error("the new owner did not poll within an interval")
		}
		time.Sleep(time.Minute)
		if n := len(fakes[0].polls()) - before; n > 0 {
			t.Errorf("the old owner polled %d times more", n)
		}
		if got := all[2].Poll("a").Reading.Gauges[query.Depth].Value; got != 1 {
			t.Errorf("replica 2 knows the value of replica %v", got)
		}
		all[2].Unsubscribe("a")
		if all[2].ended.Load() != 1 {
			t.Error("sharing was not told that nobody wants the query any more")
		}
		for _, r := range all {
			r.Close()
		}
	})
}

func TestAReplicaThatIsToldNothingPollsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := replicas(t, 2)
		fakes := []*fake{{key: "q"}, {key: "q"}}
		for i, r := range all {
			subscribe(t, r.Collector, "a", fakes[i], time.Second)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		all[1].deaf.Store(true) // and the owner goes on as if nothing were
		cut := time.Now()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if n := len(after(fakes[1].polls(), cut)); n != 1 {
			t.Errorf("%d polls by itself within 4 s, want 1", n)
		}
		for range 60 {
			time.Sleep(time.Second)
			synctest.Wait()
			if age := time.Since(all[1].Poll("a").Reading.At); age > 4*time.Second {
				t.Fatalf("the reading is %s old", age)
			}
		}
		all[1].deaf.Store(false)
		time.Sleep(5 * time.Second)
		before := len(fakes[1].polls())
		time.Sleep(time.Minute)
		if n := len(fakes[1].polls()) - before; n != 0 {
			t.Errorf("%d polls by itself although it is told again", n)
		}
		for _, r := range all {
			r.Close()
		}
	})
}

func TestAFailureIsSharedAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := replicas(t, 2)
		var down atomic.Bool
		fakes := make([]*fake, 2)
		for i := range fakes {
			fakes[i] = &fake{key: "q", answer: func(_ context.Context, n int) (query.Reading, error) {
				if down.Load() {
					return query.Reading{}, source.Errorf(source.ReasonUnreachable, "gone")
				}
				return reading(float64(n)), nil
			}}
			subscribe(t, all[i].Collector, "a", fakes[i], time.Second)
		}
		time.Sleep(5 * time.Second)
		down.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		got := all[1].Poll("a")
		if !got.Failing || got.LastFailure.Message != "gone" || got.LastFailure.InRow < 5 || got.Reading == nil {
			t.Errorf("the other replica knows %+v", got)
		}
		// The owner might be the only one who cannot reach it, so now and then.
		if n := len(fakes[1].polls()); n < 1 || n > 5 {
			t.Errorf("it polled %d times by itself in a minute", n)
		}
		down.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := all[1].Poll("a"); got.Failing || got.LastFailure == nil {
			t.Errorf("after recovery it knows %+v", got)
		}
		for _, r := range all {
			r.Close()
		}
	})
}

// A replica that is cut off from a source must not take the others with it.
func TestAnOwnerThatAloneReachesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := replicas(t, 2)
		var cut atomic.Bool
		for i := range all {
			f := &fake{key: "q", answer: func(_ context.Context, n int) (query.Reading, error) {
				if i == 0 && cut.Load() {
					return query.Reading{}, source.Errorf(source.ReasonTimeout, "no answer")
				}
				return reading(float64(n)), nil
			}}
			subscribe(t, all[i].Collector, "a", f, time.Second)
		}
		time.Sleep(5 * time.Second)
		cut.Store(true)
		for range 180 {
			time.Sleep(time.Second)
			synctest.Wait()
			for i, r := range all {
				if age := time.Since(r.Poll("a").Reading.At); age > 30*time.Second {
					t.Fatalf("replica %d has a reading that is %s old", i, age)
				}
			}
		}
		for _, r := range all {
			r.Close()
		}
	})
}

// A source that refuses is not asked by all: what it says it says to everyone.
func TestARefusalIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := replicas(t, 2)
		fakes := make([]*fake, 2)
		for i := range fakes {
			fakes[i] = &fake{key: "q", answer: func(context.Context, int) (query.Reading, error) {
				return query.Reading{}, source.Errorf(source.ReasonUnauthorized, "no")
			}}
			subscribe(t, all[i].Collector, "a", fakes[i], time.Second)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(fakes[1].polls()); n != 0 {
			t.Errorf("the other replica asked %d times", n)
		}
		for _, r := range all {
			r.Close()
		}
	})
}

// A poll that ends while its last subscriber leaves must not be told: nobody would
// ever forget it.
func TestWhatNobodyWantsAnyMoreIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replica{n: 0, others: &[]*replica{}}
		owner.Store(0)
		leaving := &leaver{}
		var err error
		if r.Collector, err = collector.New(collector.Config{
			Clock: clock.RealClock{}, Notify: func(string) {}, Sharing: r, Observer: leaving,
		}); err != nil {
			t.Fatal(err)
		}
		leaving.leave = func() { r.Unsubscribe("a") }
		subscribe(t, r.Collector, "a", &fake{key: "q"}, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		if r.ended.Load() != 1 || r.key.Load() != nil {
			t.Errorf("ended %d times, and a poll was told after it: %v", r.ended.Load(), r.key.Load())
		}
		r.Close()
	})
}

// leaver has the subscriber leave between the end of a poll and what is kept of it.
type leaver struct{ leave func() }

func (l *leaver) Polled(collector.Polled)   { l.leave() }
func (l *leaver) HeldBack(string)           {}
func (l *leaver) Pushed(string)             {}
func (l *leaver) WatchEnded(string, string) {}

func TestWhatIsOlderIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := replicas(t, 1)[0]
		subscribe(t, r.Collector, "a", &fake{key: "q"}, time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		key, known := r.key.Load().(string), r.Poll("a")
		other := reading(99)
		r.Deliver(key, collector.Shared{At: time.Now().Add(-time.Minute), Poll: query.Poll{Reading: &other}})
		r.Deliver("nobody's", collector.Shared{At: time.Now(), Poll: query.Poll{Reading: &other}})
		if diff := cmp.Diff(known, r.Poll("a")); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
		r.Deliver(key, collector.Shared{At: time.Now(), Poll: query.Poll{Reading: &other}})
		if got := r.Poll("a").Reading.Gauges[query.Depth].Value; got != 99 {
			t.Errorf("what is newer was not taken: %v", got)
		}
		r.Close()
	})
}
