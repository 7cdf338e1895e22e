package kafka

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

const (
	// clientID is what brokers' own logs and quotas know us by.
	clientID = "quartet-metrics-adapter"
	// dialTimeout bounds the attempt on one broker of several.
	dialTimeout = 2 * time.Second
	// answerLimit is how long a broker may take before its connection is given up;
	// a poll's own timeout may be shorter.
	answerLimit = 5 * time.Second
	// retries of one request, such as after the leader of a partition moved, and
	// the pause before each. The collector's backoff does the rest.
	retries    = 2
	retryPause = 50 * time.Millisecond
	// maxReplyBytes bounds one reply, so that no broker can make the adapter hold
	// more.
	maxReplyBytes = 16 << 20
)

// mechanisms are the ways to authenticate.
var mechanisms = map[string]func(access.Basic) sasl.Mechanism{
	"PLAIN": func(b access.Basic) sasl.Mechanism {
		return plain.Auth{User: b.User.Reveal(), Pass: b.Password.Reveal()}.AsMechanism()
	},
	"SCRAM-SHA-256": func(b access.Basic) sasl.Mechanism {
		return scram.Auth{User: b.User.Reveal(), Pass: b.Password.Reveal()}.AsSha256Mechanism()
	},
	"SCRAM-SHA-512": func(b access.Basic) sasl.Mechanism {
		return scram.Auth{User: b.User.Reveal(), Pass: b.Password.Reveal()}.AsSha512Mechanism()
	},
}

// link is where and how to connect.
type link struct {
	brokers   []string
	mechanism string
	basic     access.Basic
	tls       access.TLS
	// key is equal for links that can share a client.
	key string
}

// GoString keeps credentials out of %#v.
func (l link) GoString() string { return l.name() }

// name is what people call the brokers.
func (l link) name() string { return strings.Join(l.brokers, ",") }

// dial connects to one broker and secures the connection, within the context.
func (l link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := access.Dialer(dialTimeout).DialContext(ctx, network, address)
	if err != nil || !l.tls.Set {
		return conn, err
	}
	config := l.tls.Config()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address) // it was just dialed
	}
	secured := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// open makes a client, which connects when it is first used.
func (l link) open() (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(l.brokers...), kgo.ClientID(clientID), kgo.Dialer(l.dial),
		// Each broker of the list may be tried.
		kgo.RequestRetries(retries + len(l.brokers)), kgo.RetryTimeout(answerLimit),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryPause }),
		kgo.RequestTimeoutOverhead(answerLimit),
		kgo.MetadataMinAge(time.Second),
		kgo.BrokerMaxReadBytes(maxReplyBytes), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes),
		kgo.DisableClientMetrics(),
	}
	if l.mechanism != "" {
		opts = append(opts, kgo.SASL(mechanisms[l.mechanism](l.basic)))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.kafka: no client can be made: %s",
			access.Scrub(err.Error(), l.basic.Password, l.basic.User))
	}
	return client, nil
}

// pool shares clients between pollers.
type pool struct {
	mu      sync.Mutex
	clients map[string]*sharedClient
}

func newPool() *pool { return &pool{clients: map[string]*sharedClient{}} }

// acquire gives the shared client of a link, not yet made.
func (p *pool) acquire(l link) *sharedClient {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.clients[l.key]
	if !ok {
		c = &sharedClient{link: l, pool: p}
		p.clients[l.key] = c
	}
	c.users++
	return c
}

// sharedClient is the client of one link.
type sharedClient struct {
	link link
	pool *pool
	// users is guarded by the pool's mutex.
	users int

	mu     sync.Mutex
	client *kgo.Client
	closed bool
}

// get gives the client, made where needed.
func (c *sharedClient) get() (*kgo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, source.Errorf(source.ReasonUnreachable, "the connection was closed")
	}
	if c.client == nil {
		client, err := c.link.open()
		if err != nil {
			return nil, err
		}
		c.client = client
	}
	return c.client, nil
}

// release gives the client back; the last user closes it.
func (c *sharedClient) release() {
	c.pool.mu.Lock()
	c.users--
	last := c.users == 0
	if last && c.pool.clients[c.link.key] == c {
		delete(c.pool.clients, c.link.key)
	}
	c.pool.mu.Unlock()
	if !last {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.client != nil {
		c.client.Close()
	}
}
