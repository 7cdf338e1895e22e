package queue_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/queue"
)

func TestTally(t *testing.T) {
	var depths []int
	tally := queue.NewTally(func(depth int) { depths = append(depths, depth) })
	tally.Consume(0) // done with before its producer heard of it
	tally.Produce()
	tally.Produce()
	tally.Produce()
	tally.Consume(2)
	tally.Consume(2)
	want := queue.Counts{Produced: 3, Consumed: 2, Repeated: 1, Peak: 2}
	if diff := cmp.Diff(want, tally.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 1}, depths); diff != "" {
		t.Errorf("depths (-want +got):\n%s", diff)
	}
}

func TestDay(t *testing.T) {
	day := queue.Day{Length: 4 * time.Minute, Night: 2, Noon: 100}
	if got := day.Rate(0); got != 2 {
		t.Errorf("midnight has %v messages per second, want 2", got)
	}
	if got := day.Rate(2 * time.Minute); math.Abs(got-100) > 1e-9 {
		t.Errorf("noon has %v messages per second, want 100", got)
	}
	if a, b := day.Rate(time.Minute), day.Rate(5*time.Minute); a != b {
		t.Errorf("the next day differs: %v and %v", a, b)
	}
	bursty := day
	bursty.Bursts, bursty.BurstFactor, bursty.BurstLength = 3, 4, 5*time.Second
	if a, b := day.Rate(time.Minute), bursty.Rate(time.Minute); b != 4*a {
		t.Errorf("a burst has %v messages per second, want 4 x %v", b, a)
	}
	if day.Mean(1000) >= bursty.Mean(1000) {
		t.Error("bursts add nothing to the mean")
	}
}

// Each broker goes away in the middle and comes back: every message that counts
// as produced is there.
func TestProducerAndBrokerThatRestarts(t *testing.T) {
	for _, system := range queue.Systems() {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			broker, err := queue.Start(ctx, system, t.TempDir())
			var missing *brokers.MissingError
			if errors.As(err, &missing) && !brokers.Required() {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer broker.Close()
			restart(ctx, t, broker)
		})
	}
}

func restart(ctx context.Context, t *testing.T, broker queue.Broker) {
	before := broker.Source()
	reached := make(chan int, 100000)
	tally := queue.NewTally(func(depth int) { reached <- depth })
	p := &queue.Producer{Broker: broker, Tally: tally, Rate: func(time.Duration) float64 { return 200 }}
	producing, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(producing) }()

	await := func(depth int) {
		for {
			select {
			case d := <-reached:
				if d >= depth {
					return
				}
			case <-ctx.Done():
				t.Fatalf("the queue did not reach %d: %+v", depth, tally.Counts())
			}
		}
	}
	await(50)
	broker.Shutdown()
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, broker.Source()); diff != "" {
		t.Errorf("the broker moved (-before +after):\n%s", diff)
	}
	await(120)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want := tally.Counts().Produced
	if got := drain(ctx, t, broker, want); got != want {
		t.Errorf("%d messages came out of the queue, %d were put in", got, want)
	}
}

// drain takes messages, each number once, until all of them came.
func drain(ctx context.Context, t *testing.T, b queue.Broker, want int) int {
	t.Helper()
	conn, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	seen := map[int]bool{}
	var last error
	defer func() {
		if len(seen) < want {
			t.Logf("the last message that did not come: %v", last)
		}
	}()
	for len(seen) < want && ctx.Err() == nil {
		message, err := conn.Receive(ctx)
		if errors.Is(err, queue.ErrNone) {
			last = err
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(message.Body())
		if err != nil {
			t.Fatal(err)
		}
		if err := message.Done(ctx); err != nil && !errors.Is(err, queue.ErrLost) {
			t.Fatal(err)
		}
		seen[n] = true
	}
	return len(seen)
}
