package natsjetstream

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

const (
	// clientName is what the server's own monitoring shows of our connections.
	clientName = "quartet-metrics-adapter"
	// dialTimeout bounds the attempt on one server of a list.
	dialTimeout = 2 * time.Second
	// pingInterval finds a peer that vanished without closing the connection.
	pingInterval = 10 * time.Second
	// dialFailureHolds is how long a failed attempt answers for the other
	// pollers of the same link, so that many pollers are not many attempts.
	dialFailureHolds = 500 * time.Millisecond
)

// link is where and how to connect.
type link struct {
	servers     []string
	credentials credentials
	// key is equal for links that can share a connection.
	key string
}

// pool shares connections between pollers.
type pool struct {
	mu    sync.Mutex
	conns map[string]*sharedConn
}

func newPool() *pool { return &pool{conns: map[string]*sharedConn{}} }

// acquire gives the shared connection of a link, not yet connected.
func (p *pool) acquire(l link) *sharedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.conns[l.key]
	if !ok {
		c = &sharedConn{link: l, pool: p}
		p.conns[l.key] = c
	}
	c.users++
	return c
}

// sharedConn is one connection, made when first polled and made again when a
// poll finds it closed. It does not reconnect by itself: so every poll tells the
// present reason, and the collector's backoff is the only one.
type sharedConn struct {
	link link
	pool *pool
	// users is guarded by the pool's mutex.
	users int

	mu       sync.Mutex
	nc       *nats.Conn
	dialing  chan struct{}
	failure  error
	failedAt time.Time
	closed   bool

	// denied is the newest refusal that the server sent beside any reply.
	deniedMu sync.Mutex
	denied   string
	deniedAt time.Time
}

// release gives the connection back; the last user closes it.
func (c *sharedConn) release() {
	c.pool.mu.Lock()
	c.users--
	last := c.users == 0
	if last && c.pool.conns[c.link.key] == c {
		delete(c.pool.conns, c.link.key)
	}
	c.pool.mu.Unlock()
	if !last {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.nc != nil {
		c.nc.Close()
	}
}

// get gives a connection that is up, making it where needed. Callers at the
// same time share one attempt.
func (c *sharedConn) get(ctx context.Context) (*nats.Conn, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, source.Errorf(source.ReasonUnreachable, "the connection was closed")
		case c.nc != nil && c.nc.IsConnected():
			defer c.mu.Unlock()
			return c.nc, nil
		case c.failure != nil && time.Since(c.failedAt) < dialFailureHolds:
			defer c.mu.Unlock()
			return nil, c.failure
		case c.dialing == nil:
			c.dialing = make(chan struct{})
			go c.dial(c.dialing)
		}
		wait := c.dialing
		c.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, source.Errorf(source.ReasonTimeout, "no connection to %s in time", strings.Join(c.link.servers, ","))
		}
	}
}

// dial makes one attempt on all servers.
func (c *sharedConn) dial(done chan struct{}) {
	nc, err := c.connect()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing, c.failure = nil, nil
	switch {
	case err != nil:
		c.failure, c.failedAt = c.classifyDial(err), time.Now()
	case c.closed:
		nc.Close()
	default:
		c.nc = nc
	}
	close(done)
}

func (c *sharedConn) connect() (*nats.Conn, error) {
	opts, err := c.link.credentials.options()
	if err != nil {
		return nil, err
	}
	servers, dialer := c.link.targets()
	opts = append(opts,
		nats.SetCustomDialer(dialer),
		// The dialer is told the server's name, which its certificate has.
		nats.SkipHostLookup(),
		// Only the servers that the object names are told its credentials.
		nats.IgnoreDiscoveredServers(),
		nats.Name(clientName),
		nats.NoReconnect(),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.noteDenied(err) }),
	)
	return nats.Connect(servers, opts...)
}

func (c *sharedConn) noteDenied(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) && !errors.Is(err, nats.ErrAuthorization) {
		return
	}
	c.deniedMu.Lock()
	defer c.deniedMu.Unlock()
	c.denied, c.deniedAt = c.link.credentials.scrub(err.Error()), time.Now()
}

// deniedSince gives the refusal that the server sent since a time.
func (c *sharedConn) deniedSince(t time.Time) (string, bool) {
	c.deniedMu.Lock()
	defer c.deniedMu.Unlock()
	return c.denied, c.denied != "" && !c.deniedAt.Before(t)
}

// classifyDial says in our words why there is no connection.
func (c *sharedConn) classifyDial(err error) error {
	var already *source.Error
	if errors.As(err, &already) {
		return already
	}
	servers := strings.Join(c.link.servers, ",")
	switch {
	case errors.Is(err, errGuard):
		return source.Errorf(source.ReasonBadReply, "%s answers: %v", servers, err)
	case isAuth(err):
		return source.Errorf(source.ReasonUnauthorized, "%s refused the credentials", servers)
	case isTLS(err):
		return source.Errorf(source.ReasonTLS, "the connection to %s could not be secured: %s", servers, c.link.credentials.scrub(err.Error()))
	case isTimeout(err):
		return source.Errorf(source.ReasonTimeout, "%s did not answer in time", servers)
	case errors.Is(err, nats.ErrNoServers):
		// The client says this, and nothing more, where connections were refused.
		return source.Errorf(source.ReasonUnreachable, "no connection is accepted at %s", servers)
	}
	return source.Errorf(source.ReasonUnreachable, "cannot connect to %s: %s", servers, c.link.credentials.scrub(err.Error()))
}

func isAuth(err error) bool {
	for _, auth := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrNkeysNotSupported, nats.ErrPermissionViolation,
	} {
		if errors.Is(err, auth) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(err.Error()), "authorization violation")
}

func isTLS(err error) bool {
	return access.IsTLS(err) || errors.Is(err, nats.ErrSecureConnRequired) ||
		errors.Is(err, nats.ErrSecureConnWanted) || errors.Is(err, nats.ErrTLS)
}

func isTimeout(err error) bool { return errors.Is(err, nats.ErrTimeout) || access.IsTimeout(err) }
