package collector_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// A client library that panics at some answer fails one query's polls, says so
// without what it panicked with, and goes on once the answer is another one.
func TestASourceThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := collector.New(collector.Config{Clock: clock.RealClock{}, Notify: func(string) {}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		broken := &fake{key: "broken", answer: func(_ context.Context, n int) (query.Reading, error) {
			if n <= 3 {
				panic("password=hunter22")
			}
			return reading(7), nil
		}}
		for id, f := range map[string]*fake{"broken": broken, "good": {key: "good"}} {
			if err := c.Subscribe(collector.Subscription{ID: id, Query: f, Interval: time.Second, Timeout: time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		poll := c.Poll("broken")
		if !poll.Failing || poll.LastFailure.Reason != "SourceBroken" {
			t.Errorf("the poll that panicked is %+v, want a failure SourceBroken", poll)
		}
		if strings.Contains(poll.LastFailure.Message, "hunter22") {
			t.Errorf("the failure shows what was panicked with: %s", poll.LastFailure.Message)
		}
		if good := c.Poll("good"); good.Failing || good.Reading == nil {
			t.Errorf("the source beside it is %+v, want a reading", good)
		}
		time.Sleep(time.Minute)
		if poll := c.Poll("broken"); poll.Failing || poll.Reading.Gauges[query.Depth].Value != 7 {
			t.Errorf("once it answers the poll is %+v, want the reading", poll)
		}
	})
}
