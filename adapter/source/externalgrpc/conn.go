package externalgrpc

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
)

const (
	// firstRetry and lastRetry bound the wait between two attempts to connect,
	// whatever the number of polls: polls that come meanwhile fail at once.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Second
	// connectTimeout bounds one attempt, the handshake included.
	connectTimeout = 5 * time.Second
	// pingEvery is the pause of a silent connection before it is tried. Servers
	// close the connection of a client that tries it more often than every five
	// minutes, by default.
	pingEvery = 6 * time.Minute
	// pingTimeout is also how long anything that was sent may go without the
	// other machine's confirmation, so that a poll finds a machine that vanished.
	pingTimeout = 10 * time.Second
)

// link is where and how to connect.
type link struct {
	address string
	tls     access.TLS
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
func (p *pool) acquire(l link) (*sharedConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.conns[l.key]
	if !ok {
		opened, err := dial(l)
		if err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "%s is no address that can be connected to", l.address)
		}
		c = &sharedConn{key: l.key, pool: p, grpc: opened}
		p.conns[l.key] = c
	}
	c.users++
	return c, nil
}

// dial makes a connection that connects when it is first used, and again after
// it was lost. The system's resolver is asked at each attempt.
func dial(l link) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if l.tls.Set {
		transport = credentials.NewTLS(l.tls.Config())
	}
	return grpc.NewClient("passthrough:///"+l.address,
		grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return access.Dialer(connectTimeout).DialContext(ctx, "tcp", address)
		}),
		grpc.WithUserAgent("quartet-metrics-adapter/"+buildinfo.Get().Version),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRetry, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastRetry},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout}),
		// A proxy would be told what is for the server.
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(false)),
	)
}

// sharedConn is one connection of several pollers.
type sharedConn struct {
	key  string
	pool *pool
	grpc *grpc.ClientConn
	// users is guarded by the pool's mutex.
	users int
}

// release gives the connection back; the last user closes it.
func (c *sharedConn) release() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.users--
	if c.users > 0 {
		return
	}
	if c.pool.conns[c.key] == c {
		delete(c.pool.conns, c.key)
	}
	// The only error is that it was closed before.
	_ = c.grpc.Close()
}

// lost waits until the connection that is up now is lost, or the context ends.
func (c *sharedConn) lost(ctx context.Context) {
	for state := connectivity.Ready; ctx.Err() == nil && c.grpc.GetState() == state; {
		c.grpc.WaitForStateChange(ctx, state)
	}
}
