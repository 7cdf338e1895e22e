package collector

import (
	"context"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

const (
	// maxBackoff caps the wait after failures, so that a source that came back is
	// seen soon. Objects that are polled more seldom keep their interval.
	maxBackoff = 10 * time.Second
	// firstSpread bounds the wait before the first poll, so that objects that come
	// together are not polled together.
	firstSpread = 250 * time.Millisecond
	// jitterShare is how much of an interval a wait may be shorter or longer.
	jitterShare = 0.05
)

// result is what a poller knows.
type result struct {
	poll query.Poll
	// attempted tells whether this poller has polled at least once.
	attempted bool
}

// poller polls one query in a goroutine of its own.
type poller struct {
	cfg    Config
	query  source.Query
	source source.Poller
	random *rand.Rand
	ctx    context.Context //nolint:containedctx // the poller's own life, ended by stop
	stop   context.CancelFunc
	// sooner wakes the goroutine when a wait has become too long.
	sooner chan struct{}

	mu          sync.Mutex
	known       result
	subscribers map[string]Subscription
}

func newPoller(cfg Config, q source.Query, opened source.Poller, seed result) *poller {
	hash := fnv.New64a()
	// A hash never fails to write.
	_, _ = hash.Write([]byte(q.Key()))
	ctx, stop := context.WithCancel(context.Background())
	return &poller{
		cfg: cfg, query: q, source: opened,
		//nolint:gosec // spreads polls in time and guards nothing
		random: rand.New(rand.NewPCG(hash.Sum64(), 0)),
		ctx:    ctx, stop: stop,
		sooner: make(chan struct{}, 1),
		known:  seed, subscribers: map[string]Subscription{},
	}
}

// join adds or changes a subscriber.
func (p *poller) join(s Subscription) {
	p.mu.Lock()
	before := p.interval()
	p.subscribers[s.ID] = s
	shorter := before > 0 && p.interval() < before
	p.mu.Unlock()
	if shorter {
		select {
		case p.sooner <- struct{}{}:
		default:
		}
	}
}

// leave takes a subscriber away and gives the number of those that stay.
func (p *poller) leave(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.subscribers, id)
	return len(p.subscribers)
}

func (p *poller) result() result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

// interval is the shortest that a subscriber wants, 0 without any. The caller
// holds the mutex.
func (p *poller) interval() time.Duration {
	var shortest time.Duration
	for _, s := range p.subscribers {
		if shortest == 0 || s.Interval < shortest {
			shortest = s.Interval
		}
	}
	return shortest
}

// timeout is the longest that a subscriber wants. The caller holds the mutex.
func (p *poller) timeout() time.Duration {
	var longest time.Duration
	for _, s := range p.subscribers {
		longest = max(longest, s.Timeout)
	}
	return longest
}

// run polls until the poller is stopped.
func (p *poller) run() {
	defer p.source.Close()
	wait := time.Duration(p.random.Int64N(int64(firstSpread)))
	for {
		began := p.cfg.Clock.Now()
		if !p.sleep(wait, began) {
			return
		}
		began = p.cfg.Clock.Now()
		p.poll()
		wait = max(0, p.next()-p.cfg.Clock.Since(began))
	}
}

// sleep waits until wait has passed since began, or less where a subscriber came
// that wants a shorter interval. It gives false when the poller was stopped.
func (p *poller) sleep(wait time.Duration, began time.Time) bool {
	for {
		timer := p.cfg.Clock.NewTimer(wait - p.cfg.Clock.Since(began))
		select {
		case <-p.ctx.Done():
			timer.Stop()
			return false
		case <-timer.C():
			return p.ctx.Err() == nil
		case <-p.sooner:
			timer.Stop()
			wait = min(wait, p.next())
		}
	}
}

// poll asks the source once and keeps what came of it.
func (p *poller) poll() {
	p.mu.Lock()
	timeout := p.timeout()
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	began := p.cfg.Clock.Now()
	reading, err := p.source.Poll(ctx)
	if p.ctx.Err() != nil {
		// Stopped while polling: what came of it is about no subscriber.
		return
	}
	label := "success"
	if err != nil {
		label, _ = source.ReasonOf(err)
	}
	if p.cfg.Observer != nil {
		p.cfg.Observer.Polled(p.query.Kind(), label, p.cfg.Clock.Since(began))
	}
	for _, id := range p.keep(reading, err) {
		p.cfg.Notify(id)
	}
}

// keep stores a result and gives the subscribers, sorted.
func (p *poller) keep(reading query.Reading, err error) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known.attempted = true
	if err != nil {
		reason, message := source.ReasonOf(err)
		inRow := 1
		if p.known.poll.Failing && p.known.poll.LastFailure != nil {
			inRow += p.known.poll.LastFailure.InRow
		}
		p.known.poll.Failing = true
		p.known.poll.LastFailure = &query.Failure{
			At: p.cfg.Clock.Now().UTC().Round(0), Reason: reason, Message: message, InRow: inRow,
		}
	} else {
		p.known.poll.Failing = false
		p.known.poll.Reading = &reading
	}
	return slices.Sorted(maps.Keys(p.subscribers))
}

// next is the time from the beginning of one poll to that of the next: the
// interval, doubled for each failure in a row up to the cap, give or take the
// jitter, and never under MinInterval.
func (p *poller) next() time.Duration {
	p.mu.Lock()
	interval := max(p.interval(), MinInterval)
	failures := 0
	if p.known.poll.Failing && p.known.poll.LastFailure != nil {
		failures = p.known.poll.LastFailure.InRow
	}
	p.mu.Unlock()
	return max(MinInterval, p.jitter(backoff(interval, failures)))
}

func (p *poller) jitter(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*jitterShare*(2*p.random.Float64()-1))
}

// backoff doubles the interval for each failure after the first.
func backoff(interval time.Duration, failures int) time.Duration {
	limit := max(interval, maxBackoff)
	for ; failures > 1 && interval < limit; failures-- {
		interval *= 2
	}
	return min(interval, limit)
}
