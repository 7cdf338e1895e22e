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

// Observer hears of every poll, for metrics. Result is "success" or a failure's
// reason; both labels are of bounded sets.
type Observer interface {
	Polled(kind, result string, took time.Duration)
}

// Config is what a Collector is made of.
type Config struct {
	Clock clock.Clock
	// Notify is called with a subscriber's ID when its poll has a result. It must
	// not block.
	Notify func(id string)
	// Observer may be nil.
	Observer Observer
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
}

// New makes a Collector that polls nothing yet.
func New(cfg Config) (*Collector, error) {
	switch {
	case cfg.Clock == nil:
		return nil, errors.New("collector: Clock is required")
	case cfg.Notify == nil:
		return nil, errors.New("collector: Notify is required")
	}
	return &Collector{cfg: cfg, pollers: map[string]*poller{}, subs: map[string]Subscription{}}, nil
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
	var seed result
	if had && old.Query.Subject() == s.Query.Subject() {
		seed.poll = c.pollers[old.Query.Key()].result().poll
	}
	p := newPoller(c.cfg, s.Query, opened, seed)
	c.pollers[s.Query.Key()] = p
	go p.run()
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
		p.stop()
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

// Close ends all pollers. A collector that was closed stays so.
func (c *Collector) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, p := range c.pollers {
		p.stop()
	}
	c.pollers, c.subs = map[string]*poller{}, map[string]Subscription{}
}
