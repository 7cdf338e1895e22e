package collector

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// Limits bound what all queries of one server together ask of it.
type Limits struct {
	// Concurrent is how many polls of one server run at the same time.
	Concurrent int
	// PerSecond is how many polls of one server begin in a second.
	PerSecond int
}

// DefaultLimits let thousands of objects share a server without a storm.
func DefaultLimits() Limits { return Limits{Concurrent: 8, PerSecond: 1000} }

// burstShare is the part of a second's polls that may begin at once.
const burstShare = 10

// gate is what every poll of one server passes: the server's limits and its
// circuit. Polls pass in the order in which they come.
type gate struct {
	clock clock.Clock
	kind  string
	slots chan struct{}
	rate  *rate.Limiter

	mu      sync.Mutex
	circuit circuit
	// users are the pollers of the server.
	users map[*poller]bool
}

func newGate(cfg Config, q source.Query) *gate {
	return &gate{
		clock: cfg.Clock, kind: q.Kind(),
		slots:   make(chan struct{}, cfg.Limits.Concurrent),
		rate:    rate.NewLimiter(rate.Limit(cfg.Limits.PerSecond), max(1, cfg.Limits.PerSecond/burstShare)),
		circuit: circuit{server: source.ServerOf(q)},
		users:   map[*poller]bool{},
	}
}

func (g *gate) join(p *poller) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users[p] = true
}

// leave gives the number of pollers that stay.
func (g *gate) leave(p *poller) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.users, p)
	return len(g.users)
}

func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.circuit.open()
}

// errStopped is of a poll that was not made since nobody wants it any more.
var errStopped = errors.New("the poller was stopped")

// pass runs a poll once the limits allow, and gives the poll's error; refused is
// true where the circuit is open and the poll was not made.
func (g *gate) pass(ctx context.Context, s standing, poll func() error) (refused bool, err error) {
	// Asked twice: nobody queues for a server that is known to be away, and one that
	// queued learns that it went away.
	if refusal := g.refusal(s); refusal != nil {
		return true, refusal
	}
	select {
	case <-ctx.Done():
		return false, errStopped
	case g.slots <- struct{}{}:
	}
	defer func() { <-g.slots }()
	if !g.pace(ctx) {
		return false, errStopped
	}
	try, refusal := g.begin(s)
	if refusal != nil {
		return true, refusal
	}
	err = poll()
	g.ended(ctx, s, try, err)
	return false, err
}

func (g *gate) refusal(s standing) *source.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.circuit.refusal(g.clock.Now(), s)
}

func (g *gate) begin(s standing) (try bool, refusal *source.Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	if refusal := g.circuit.refusal(now, s); refusal != nil {
		return false, refusal
	}
	return g.circuit.begin(now, s), nil
}

// pace waits until the rate allows one more poll; false where the context ended.
func (g *gate) pace(ctx context.Context) bool {
	now := g.clock.Now()
	reserved := g.rate.ReserveN(now, 1)
	wait := reserved.DelayFrom(now)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	if sleep(ctx, g.clock, wait) {
		return true
	}
	reserved.CancelAt(g.clock.Now())
	return false
}

// sleep waits; false where the context ended first.
func sleep(ctx context.Context, c clock.Clock, d time.Duration) bool {
	timer := c.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

func (g *gate) ended(ctx context.Context, s standing, try bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		g.circuit.abandon(s, try)
		return
	}
	if !g.circuit.end(s, try, err) {
		return
	}
	for p := range g.users {
		p.say(reopened)
	}
}
