package collector

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// MinInterval is the shortest time between two polls of one query.
const MinInterval = time.Second

// Observer hears of what the collector does, for metrics. Kinds are those of
// sources; all texts are of bounded sets.
type Observer interface {
	// Polled hears of every poll.
	Polled(p Polled)
	// HeldBack hears of a poll that was not made, since the server does not answer.
	HeldBack(kind string)
	// Pushed hears of a system's word that something changed.
	Pushed(kind string)
	// WatchEnded hears of a watch for such words that ended: "ended" or a failure's
	// reason.
	WatchEnded(kind, reason string)
}

// Polled is one poll, for metrics.
type Polled struct {
	// Kind is the source's, Result "success" or a failure's reason.
	Kind, Result string
	// Waited is the time for which the server's limits held the poll back.
	Waited time.Duration
	Took   time.Duration
	// Age is how old the reading was at once, of a poll that gave one.
	Age time.Duration
}

// Config is what a Collector is made of.
type Config struct {
	Clock clock.WithDelayedExecution
	// Notify is called with a subscriber's ID when its poll has a result. It must
	// not block.
	Notify func(id string)
	// Observer may be nil.
	Observer Observer
	// Limits are those of each server; the zero value means DefaultLimits.
	Limits Limits
	// Sharing shares the polls out between replicas; nil where there is one only.
	Sharing Sharing
}

// Subscription is what one subscriber wants polled.
type Subscription struct {
	// ID names the subscriber; a second subscription of one ID replaces the first.
	ID    string
	Query source.Query
	// Interval between polls, raised to MinInterval where it is shorter. A query
	// is polled at the shortest interval that any subscriber wants.
	Interval time.Duration
	// Timeout of one poll; a query's is the longest that any subscriber wants.
	Timeout time.Duration
}

// Collector is the set of pollers. It is safe for use by several goroutines.
type Collector struct {
	cfg Config

	mu      sync.Mutex
	closed  bool
	pollers map[string]*poller
	subs    map[string]Subscription
	// shared are the pollers by the key that replicas share them under.
	shared map[string]*poller
	// gates are those of the servers that pollers ask.
	gates map[string]*gate
}

// New makes a Collector that polls nothing yet.
func New(cfg Config) (*Collector, error) {
	switch {
	case cfg.Clock == nil:
		return nil, errors.New("collector: Clock is required")
	case cfg.Notify == nil:
		return nil, errors.New("collector: Notify is required")
	case cfg.Limits == Limits{}:
		cfg.Limits = DefaultLimits()
	}
	if cfg.Limits.Concurrent < 1 || cfg.Limits.PerSecond < 1 {
		return nil, errors.New("collector: Limits must be at least 1")
	}
	c := &Collector{cfg: cfg}
	c.empty()
	return c, nil
}

func (c *Collector) empty() {
	c.pollers, c.shared = map[string]*poller{}, map[string]*poller{}
	c.subs, c.gates = map[string]Subscription{}, map[string]*gate{}
}

// Subscribe begins, changes or keeps what one subscriber wants polled. Where its
// query changes and the subject does not (new credentials), the newest reading
// is carried over until the new poller has one of its own.
func (c *Collector) Subscribe(s Subscription) error {
	s.Interval = max(s.Interval, MinInterval)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("the collector is closed")
	}
	old, had := c.subs[s.ID]
	p, err := c.pollerFor(s, old, had)
	if err != nil {
		return err
	}
	p.join(s)
	c.subs[s.ID] = s
	if had && old.Query.Key() != s.Query.Key() {
		c.leave(old)
	}
	return nil
}

// pollerFor finds or starts the poller of a query.
func (c *Collector) pollerFor(s, old Subscription, had bool) (*poller, error) {
	if p, ok := c.pollers[s.Query.Key()]; ok {
		return p, nil
	}
	opened, err := s.Query.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.Query, err)
	}
	server := source.ServerOf(s.Query)
	g := c.gates[server]
	if g == nil {
		g = newGate(c.cfg, s.Query)
		c.gates[server] = g
	}
	p := newPoller(c.cfg, s.Query, opened, g)
	g.join(p)
	if had && old.Query.Subject() == s.Query.Subject() {
		p.known.poll = c.pollers[old.Query.Key()].result().poll
	}
	c.pollers[s.Query.Key()], c.shared[p.shareKey] = p, p
	p.start()
	return p, nil
}

// Unsubscribe ends what a subscriber wanted. The last one ends the poller.
func (c *Collector) Unsubscribe(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.subs[id]
	if !ok {
		return
	}
	delete(c.subs, id)
	c.leave(s)
}

func (c *Collector) leave(s Subscription) {
	p := c.pollers[s.Query.Key()]
	if p.leave(s.ID) == 0 {
		delete(c.pollers, s.Query.Key())
		delete(c.shared, p.shareKey)
		p.stop()
		if c.cfg.Sharing != nil {
			c.cfg.Sharing.Ended(p.shareKey)
		}
		if p.gate.leave(p) == 0 {
			delete(c.gates, source.ServerOf(s.Query))
		}
	}
}

// Poll gives what is known of a subscriber's query. The reading is shared and
// must not be changed.
func (c *Collector) Poll(id string) query.Poll {
	c.mu.Lock()
	s, ok := c.subs[id]
	if !ok {
		c.mu.Unlock()
		return query.Poll{}
	}
	p := c.pollers[s.Query.Key()]
	c.mu.Unlock()
	return p.result().poll
}

// Warm tells whether every query was polled at least once, and how many were
// not.
func (c *Collector) Warm() (waiting int, warm bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pollers {
		if !p.result().attempted {
			waiting++
		}
	}
	return waiting, waiting == 0
}

// Size is the number of distinct queries being polled, and of subscribers.
func (c *Collector) Size() (queries, subscribers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pollers), len(c.subs)
}

// Away counts, by kind, the servers that do not answer and are tried by one poll
// at a time.
func (c *Collector) Away() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for _, g := range c.gates {
		if g.open() {
			out[g.kind]++
		}
	}
	return out
}

// Close ends all pollers. A collector that was closed stays so.
func (c *Collector) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, p := range c.pollers {
		p.stop()
	}
	c.empty()
}
