package collector

import (
	"cmp"
	"context"
	"hash/fnv"
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
	// maxRefusedBackoff takes its place where the credentials were refused: that
	// changes by hand, and servers count refusals.
	maxRefusedBackoff = time.Minute
	// firstSpread bounds the wait before the first poll, so that objects that come
	// together are not polled together.
	firstSpread = 250 * time.Millisecond
	// jitterShare is how much of an interval a wait may be shorter or longer.
	jitterShare = 0.05
)

// result is what a poller knows.
type result struct {
	poll query.Poll
	// attempted tells whether this poller has polled at least once, or was told of
	// another replica's poll.
	attempted bool
	// at is when the newest of these polls ended, by the clock of its replica.
	at time.Time
}

// poller polls one query.
type poller struct {
	cfg    Config
	query  source.Query
	source source.Poller
	gate   *gate
	random *rand.Rand
	ctx    context.Context //nolint:containedctx // the poller's own life, ended by stop
	cancel context.CancelFunc
	turns  turns
	// shareKey names the query among replicas.
	shareKey string

	mu    sync.Mutex
	known result
	// told is when another replica last told something newer of the query.
	told time.Time
	// subscribers are in the order of their IDs; there is one, mostly.
	subscribers []subscriber
}

// subscriber is what a poller keeps of a Subscription.
type subscriber struct {
	id                string
	interval, timeout time.Duration
}

func byID(s subscriber, id string) int { return cmp.Compare(s.id, id) }

func newPoller(cfg Config, q source.Query, opened source.Poller, g *gate) *poller {
	ctx, cancel := context.WithCancel(context.Background())
	return &poller{
		cfg: cfg, query: q, source: opened, gate: g,
		random: randomOf(q, 0),
		ctx:    ctx, cancel: cancel,
		shareKey: shareKey(q),
	}
}

// randomOf spreads the polls of different queries in time.
func randomOf(q source.Query, stream uint64) *rand.Rand {
	hash := fnv.New64a()
	// A hash never fails to write.
	_, _ = hash.Write([]byte(q.Key()))
	//nolint:gosec // spreads polls in time and guards nothing
	return rand.New(rand.NewPCG(hash.Sum64(), stream))
}

// join adds or changes a subscriber.
func (p *poller) join(s Subscription) {
	p.mu.Lock()
	before := p.interval()
	i, had := slices.BinarySearchFunc(p.subscribers, s.ID, byID)
	if !had {
		p.subscribers = slices.Insert(p.subscribers, i, subscriber{})
	}
	p.subscribers[i] = subscriber{id: s.ID, interval: s.Interval, timeout: s.Timeout}
	shorter := before > 0 && p.interval() < before
	p.mu.Unlock()
	if shorter {
		p.say(sooner)
	}
}

// leave takes a subscriber away and gives the number of those that stay.
func (p *poller) leave(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, had := slices.BinarySearchFunc(p.subscribers, id, byID); had {
		p.subscribers = slices.Delete(p.subscribers, i, i+1)
	}
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
		if shortest == 0 || s.interval < shortest {
			shortest = s.interval
		}
	}
	return shortest
}

// timeout is the longest that a subscriber wants. The caller holds the mutex.
func (p *poller) timeout() time.Duration {
	var longest time.Duration
	for _, s := range p.subscribers {
		longest = max(longest, s.timeout)
	}
	return longest
}

// pushGap is the time from the last poll to one that a word of change asks for.
// A source that fails is polled no oftener for being told of changes.
func (p *poller) pushGap() time.Duration {
	if p.standing() == doubtful {
		return MinInterval
	}
	return pushGap
}

// standing is what this poller's newest poll says of the server.
func (p *poller) standing() standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known.poll.Failing || !p.known.attempted {
		return doubtful
	}
	return trusted
}

// poll asks the source once, as soon as the server's limits allow, and keeps what
// came of it.
func (p *poller) poll() {
	queued := p.cfg.Clock.Now()
	var reading query.Reading
	var told Polled
	refused, err := p.gate.pass(p.ctx, p.standing(), func() error {
		began := p.cfg.Clock.Now()
		p.mu.Lock()
		timeout := p.timeout()
		p.mu.Unlock()
		ctx, cancel := context.WithTimeout(p.ctx, timeout)
		defer cancel()
		var err error
		reading, err = poll(ctx, p.source)
		told = Polled{Kind: p.query.Kind(), Waited: began.Sub(queued), Took: p.cfg.Clock.Since(began)}
		return err
	})
	if p.ctx.Err() != nil {
		// Stopped while polling: what came of it is about no subscriber.
		return
	}
	if p.cfg.Observer != nil {
		p.tell(told, refused, reading, err)
	}
	for _, id := range p.keep(reading, refused, err) {
		p.cfg.Notify(id)
	}
}

func (p *poller) tell(told Polled, refused bool, reading query.Reading, err error) {
	if refused {
		p.cfg.Observer.HeldBack(p.query.Kind())
		return
	}
	if told.Result = "success"; err != nil {
		told.Result, _ = source.ReasonOf(err)
	} else {
		told.Age = p.cfg.Clock.Since(reading.At)
	}
	p.cfg.Observer.Polled(told)
}

// keep stores a result and gives the subscribers, sorted. A poll that was held
// back is a failure, and is not counted as a further one.
func (p *poller) keep(reading query.Reading, refused bool, err error) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known.attempted, p.known.at = true, p.cfg.Clock.Now().UTC().Round(0)
	if err != nil {
		reason, message := source.ReasonOf(err)
		inRow := 0
		if p.known.poll.Failing && p.known.poll.LastFailure != nil {
			inRow = p.known.poll.LastFailure.InRow
		}
		if !refused || inRow == 0 {
			inRow++
		}
		p.known.poll.Failing = true
		p.known.poll.LastFailure = &query.Failure{
			At: p.known.at, Reason: reason, Message: message, InRow: inRow,
		}
	} else {
		p.known.poll.Failing = false
		p.known.poll.Reading = &reading
	}
	// The last subscriber may have left meanwhile, and sharing have been told so.
	if p.cfg.Sharing != nil && len(p.subscribers) > 0 {
		p.cfg.Sharing.Polled(p.shareKey, Shared{At: p.known.at, Poll: p.known.poll})
	}
	return p.ids()
}

// ids are those of the subscribers, sorted. The caller holds the mutex.
func (p *poller) ids() []string {
	ids := make([]string, len(p.subscribers))
	for i, s := range p.subscribers {
		ids[i] = s.id
	}
	return ids
}

// next is the time from the beginning of one poll to that of the next: the
// interval, doubled for each failure in a row up to the cap, give or take the
// jitter, and never under MinInterval.
func (p *poller) next() time.Duration {
	p.mu.Lock()
	interval := max(p.interval(), MinInterval)
	failures, limit := 0, maxBackoff
	if last := p.known.poll.LastFailure; p.known.poll.Failing && last != nil {
		failures = last.InRow
		if last.Reason == source.ReasonUnauthorized {
			limit = maxRefusedBackoff
		}
	}
	p.mu.Unlock()
	return max(MinInterval, spread(p.random, backoff(interval, failures, limit)))
}

// spread makes a wait a little shorter or longer.
func spread(random *rand.Rand, d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*jitterShare*(2*random.Float64()-1))
}

// backoff doubles the interval for each failure after the first, up to the limit
// or the interval, whichever is longer.
func backoff(interval time.Duration, failures int, limit time.Duration) time.Duration {
	limit = max(interval, limit)
	for ; failures > 1 && interval < limit; failures-- {
		interval *= 2
	}
	return min(interval, limit)
}
