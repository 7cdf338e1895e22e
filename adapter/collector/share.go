package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// Sharing shares the polls of queries out between replicas. Its methods must not
// block, and must not call the collector.
type Sharing interface {
	// Mine tells whether this replica is to poll a query. Reassign is to be called
	// when answers may have changed.
	Mine(key string) bool
	// Polled hears what a poll of this replica gave.
	Polled(key string, s Shared)
	// Ended hears that nobody wants a query any more.
	Ended(key string)
}

// Shared is what one replica tells the others of a query.
type Shared struct {
	// At is when the poll ended, by the clock of the replica that polled.
	At time.Time `json:"at"`
	// Poll is what that replica knows then. Readings keep their own times.
	Poll query.Poll `json:"poll"`
}

const (
	// patience is how long a replica waits for another one's poll of a query before
	// it polls by itself, in waits from one poll to the next, and at the least.
	patience      = 2
	patienceLeast = 3 * time.Second
)

// shareKey names a query among replicas. The query's own key is shown to nobody.
func shareKey(q source.Query) string {
	sum := sha256.Sum256([]byte("share\x00" + q.Key()))
	return hex.EncodeToString(sum[:16])
}

// Deliver takes what another replica's poll of a query gave, where it is newer
// than what is known.
func (c *Collector) Deliver(key string, s Shared) {
	c.mu.Lock()
	p := c.shared[key]
	c.mu.Unlock()
	if p == nil {
		return
	}
	for _, id := range p.deliver(s) {
		c.cfg.Notify(id)
	}
}

// Reassign has all queries looked at again whose owner may have changed.
func (c *Collector) Reassign() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pollers {
		p.say(shared)
	}
}

// mine tells whether this replica is to poll the query.
func (p *poller) mine() bool {
	return p.cfg.Sharing == nil || p.cfg.Sharing.Mine(p.shareKey)
}

// due is when the query is next to be polled here; began is the beginning of the
// last poll here. Where another replica is to poll it, that is when it has not been
// heard of for too long.
func (p *poller) due(began time.Time) time.Time {
	wait := p.next()
	p.mu.Lock()
	defer p.mu.Unlock()
	last := began
	if p.told.After(last) {
		last = p.told
	}
	if p.mine() {
		return last.Add(wait)
	}
	return last.Add(max(patience*wait, patienceLeast))
}

// deliver keeps what another replica's poll gave and gives the subscribers,
// sorted; none where something as new is known.
func (p *poller) deliver(s Shared) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.At.After(p.known.at) {
		return nil
	}
	before, poll := p.known.poll, s.Poll
	if before.Reading != nil && (poll.Reading == nil || before.Reading.At.After(poll.Reading.At)) {
		poll.Reading = before.Reading
	}
	if poll.LastFailure == nil {
		poll.LastFailure = before.LastFailure
	}
	p.known = result{poll: poll, attempted: true, at: s.At}
	// That it cannot reach the server may be that replica's own trouble: from then on
	// this one tries too, now and then.
	if !poll.Failing || answered(failureOf(poll)) {
		p.told = p.cfg.Clock.Now()
	}
	p.say(shared)
	return p.ids()
}

// failureOf is the error that a poll ended with, as far as the reason.
func failureOf(poll query.Poll) error {
	if poll.LastFailure == nil {
		return nil
	}
	return source.Errorf(poll.LastFailure.Reason, "%s", poll.LastFailure.Message)
}
