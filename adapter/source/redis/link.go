package redis

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

const (
	// clientName is what CLIENT LIST shows of our connections.
	clientName = "quartet-metrics-adapter"
	// dialTimeout bounds one attempt to connect; a poll's own timeout may be shorter.
	dialTimeout = 5 * time.Second
	// connections bounds those to one server, whatever the number of queries.
	connections = 8
	// waitForConnection is longer than any poll, whose own timeout ends the wait.
	waitForConnection = 2 * time.Minute
	// idleLimit is how long a connection that nobody uses is kept.
	idleLimit = 5 * time.Minute
	// bufferBytes is small: replies are, and adapters have many connections.
	bufferBytes = 4 << 10
)

// topology is what the addresses of a link are.
type topology string

const (
	single    topology = "Single"
	sentinels topology = "Sentinel"
	cluster   topology = "Cluster"
)

// link is where and how to connect.
type link struct {
	topology        topology
	addresses       []string
	masterName      string
	database        int
	basic, sentinel access.Basic
	tls             access.TLS
	// key is equal for links that can share connections.
	key string
}

// secrets are the credentials to take out of texts.
func (l link) secrets() []access.Secret {
	return []access.Secret{l.basic.Password, l.sentinel.Password, l.basic.User, l.sentinel.User}
}

// GoString keeps credentials out of %#v.
func (l link) GoString() string { return string(l.topology) }

// options are the client's. It tries everything once and nothing on its own: so
// every poll tells the present reason, and the collector's backoff is the only one.
func (l link) options(address string, login access.Basic) *goredis.Options {
	return &goredis.Options{
		Addr: address, Dialer: l.dial, OnConnect: introduce, Protocol: 2,
		Username: login.User.Reveal(), Password: login.Password.Reveal(),
		MaxRetries: -1, DialerRetries: 1, DialTimeout: dialTimeout, ContextTimeoutEnabled: true,
		// The context of a poll is the bound; these are for what has none.
		ReadTimeout: waitForConnection, WriteTimeout: waitForConnection, PoolTimeout: waitForConnection,
		PoolSize: connections, PipelinePoolSize: -1,
		ConnMaxIdleTime: idleLimit, ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// introduce names a connection to the server's owner, where we may.
func introduce(ctx context.Context, conn *goredis.Conn) error {
	_ = conn.ClientSetName(ctx, clientName).Err() // a name is not worth a poll
	return nil
}

// dial connects, secures and guards one connection, all within the context.
func (l link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := access.Dialer(0).DialContext(ctx, network, address)
	if err != nil || !l.tls.Set {
		return guarded(conn, err)
	}
	config := l.tls.Config()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address) // it was just dialed
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return guarded(secured, nil)
}

func guarded(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return &guard{Conn: conn}, nil
}

// pool shares servers between pollers.
type pool struct {
	mu    sync.Mutex
	links map[string]*servers
}

// quiet turns the client's own logging off, once: every failure is told by the
// poll that it makes fail.
var quiet = sync.OnceFunc(logging.Disable)

func newPool() *pool {
	quiet()
	return &pool{links: map[string]*servers{}}
}

// acquire gives the servers of a link, not yet connected to.
func (p *pool) acquire(l link) *servers {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.links[l.key]
	if !ok {
		s = &servers{link: l, pool: p, clients: map[string]*goredis.Client{}, places: map[string]string{}}
		p.links[l.key] = s
	}
	s.users++
	return s
}

// servers are the connections of one link, by address.
type servers struct {
	link link
	pool *pool
	// users is guarded by the pool's mutex.
	users int

	mu      sync.Mutex
	closed  bool
	clients map[string]*goredis.Client
	// places are the addresses that keys were last found at. Of sentinels there is
	// one master for all keys, kept under the empty key.
	places map[string]string
	// askedAt is when the sentinels last named the master.
	askedAt time.Time
}

// release gives the servers back; the last user closes all connections.
func (s *servers) release() {
	s.pool.mu.Lock()
	s.users--
	last := s.users == 0
	if last && s.pool.links[s.link.key] == s {
		delete(s.pool.links, s.link.key)
	}
	s.pool.mu.Unlock()
	if !last {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.clients {
		_ = c.Close() // it was only read from
	}
	s.clients = nil
}

// client gives the client of a server of data.
func (s *servers) client(address string) (*goredis.Client, error) {
	return s.clientAs(address, s.link.basic, s.link.database)
}

// clientAs gives the client of an address, whose login depends on what is there.
func (s *servers) clientAs(address string, login access.Basic, database int) (*goredis.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, goredis.ErrClosed
	}
	c, ok := s.clients[address]
	if !ok {
		options := s.link.options(address, login)
		options.DB = database
		c = goredis.NewClient(options)
		s.clients[address] = c
	}
	return c, nil
}
