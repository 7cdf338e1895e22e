package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

const (
	// clientName is what the broker's own monitoring shows of our connections.
	clientName = "quartet-metrics-adapter"
	// dialTimeout bounds connecting, securing and logging in.
	dialTimeout = 5 * time.Second
	// heartbeat finds a peer that vanished without closing the connection.
	heartbeat = 5 * time.Second
	// dialFailureHolds is how long a failed attempt answers for the other pollers of
	// the same link, so that many pollers are not many attempts.
	dialFailureHolds = 500 * time.Millisecond
	// closeTimeout is how long a broker may take to agree to the end.
	closeTimeout = time.Second
)

// Ports without a number in the address.
const (
	plainPort  = "5672"
	securePort = "5671"
)

// sharedConn is one AMQP connection, made when first polled and made again when a
// poll finds it closed. It does not reconnect by itself: so every poll tells the
// present reason, and the collector's backoff is the only one.
type sharedConn struct {
	link link

	mu       sync.Mutex
	conn     *liveConn
	dialing  chan struct{}
	failure  error
	failedAt time.Time
	closed   bool
}

// liveConn is a connection with what was last read from its socket.
type liveConn struct {
	*amqp.Connection
	socket *watched
}

func (c *sharedConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.conn != nil {
		end(c.conn.Connection)
	}
}

// end closes a connection without waiting for a broker that may not answer.
func end(conn *amqp.Connection) {
	go func() { _ = conn.CloseDeadline(time.Now().Add(closeTimeout)) }()
}

// get gives a connection that is up, making it where needed. Callers at the same
// time share one attempt.
func (c *sharedConn) get(ctx context.Context) (*liveConn, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			defer c.mu.Unlock()
			return nil, source.Errorf(source.ReasonUnreachable, "the connection was closed")
		case c.conn != nil && !c.conn.IsClosed():
			defer c.mu.Unlock()
			return c.conn, nil
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
			return nil, c.late()
		}
	}
}

// late is why there is no connection yet. A broker that does not like a login
// says so after three seconds only: so a poll that waits less long tells what
// became of the attempt before this one.
func (c *sharedConn) late() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return c.failure
	}
	return source.Errorf(source.ReasonTimeout, "no connection to %s in time", c.link.server())
}

func (c *sharedConn) dial(done chan struct{}) {
	conn, err := c.link.connect()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing, c.failure, c.conn = nil, nil, nil
	switch {
	case err != nil:
		c.failure, c.failedAt = err, time.Now()
	case c.closed:
		end(conn.Connection)
	default:
		c.conn = conn
	}
	close(done)
}

// connect makes one attempt. The socket is secured here and not by the client, so
// that what went wrong on it can be told whatever the client makes of it.
func (l link) connect() (*liveConn, error) {
	var socket *watched
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(clientName)
	conn, err := amqp.DialConfig("amqp://"+l.hostPort(), amqp.Config{
		SASL: l.mechanisms(), Vhost: l.vhost, Heartbeat: heartbeat, Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			var err error
			socket, err = l.dial(network, address)
			return socket, err
		},
	})
	if err != nil {
		return nil, l.classify(err, socket)
	}
	return &liveConn{Connection: conn, socket: socket}, nil
}

func (l link) hostPort() string {
	port := l.address.Port()
	switch {
	case port != "":
	case l.secure():
		port = securePort
	default:
		port = plainPort
	}
	return net.JoinHostPort(l.address.Hostname(), port)
}

func (l link) secure() bool { return l.address.Scheme == "amqps" }

func (l link) mechanisms() []amqp.Authentication {
	if l.external {
		return []amqp.Authentication{&amqp.ExternalAuth{}}
	}
	return []amqp.Authentication{&amqp.PlainAuth{Username: l.basic.User.Reveal(), Password: l.basic.Password.Reveal()}}
}

// dial connects, and secures what it connected where the address says so. The
// client lifts the deadline once it is logged in.
func (l link) dial(network, address string) (*watched, error) {
	deadline := time.Now().Add(dialTimeout)
	dialer := access.Dialer(0)
	dialer.Deadline = deadline
	socket, err := dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	if err := socket.SetDeadline(deadline); err != nil {
		_ = socket.Close()
		return nil, err
	}
	if l.secure() {
		config := l.tls.Config()
		if config.ServerName == "" {
			config.ServerName = l.address.Hostname()
		}
		secured := tls.Client(socket, config)
		if err := secured.Handshake(); err != nil {
			_ = socket.Close()
			return nil, err
		}
		socket = secured
	}
	return &watched{Conn: socket}, nil
}

// watched remembers why reading ended, which the client turns into other words.
type watched struct {
	net.Conn
	heard atomic.Bool
	ended atomic.Pointer[error]
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.heard.Store(true)
	}
	if err != nil {
		w.ended.CompareAndSwap(nil, &err)
	}
	return n, err
}

// silent tells whether there was a socket and nothing came over it.
func (w *watched) silent() bool { return w != nil && !w.heard.Load() }

// end is why reading ended, nil while it did not.
func (w *watched) end() error {
	if w == nil {
		return nil
	}
	if err := w.ended.Load(); err != nil {
		return *err
	}
	return nil
}

// classify says in our words what an error of the client means.
func (l link) classify(err error, socket *watched) *source.Error {
	var protocol *amqp.Error
	ended := socket.end()
	switch {
	case errors.As(err, &protocol) && protocol.Server:
		return l.refusal(protocol)
	// In newer versions of TLS a certificate is judged after the handshake, and the
	// word of it can be lost with the connection.
	case l.secure() && socket.silent() && !access.IsTimeout(err) && (ended == nil || !access.IsTimeout(ended)):
		return source.Errorf(source.ReasonTLS, "%s ended the connection as soon as it was secured: it may ask for a client's certificate, or not know ours", l.server())
	case protocol == nil:
		return l.failure(err)
	// A broker that does not like a login ends the connection without a word; one
	// that is not there any more, or too slow, is another matter.
	case ended != nil && (access.IsTimeout(ended) || access.IsTLS(ended)):
		return l.failure(ended)
	case errors.Is(err, amqp.ErrCredentials):
		return source.Errorf(source.ReasonUnauthorized, "%s refused the credentials", l.server())
	case errors.Is(err, amqp.ErrVhost):
		return source.Errorf(source.ReasonUnauthorized, "%s refused the virtual host %s", l.server(), l.vhost)
	case errors.Is(err, amqp.ErrSASL):
		return source.Errorf(source.ReasonUnauthorized, "%s does not offer this way to log in", l.server())
	case errors.Is(err, amqp.ErrChannelMax):
		return source.Errorf(source.ReasonFailed, "%s allows no more channels on one connection", l.server())
	case ended != nil:
		return l.failure(ended)
	case errors.Is(err, amqp.ErrClosed):
		return source.Errorf(source.ReasonUnreachable, "the connection to %s was closed", l.server())
	}
	return source.Errorf(source.ReasonBadReply, "%s does not speak AMQP 0-9-1", l.server())
}

// refusal is what the broker itself said no with.
func (l link) refusal(e *amqp.Error) *source.Error {
	text := access.Scrub(e.Reason, l.basic.Password, l.basic.User)
	switch {
	case e.Code == amqp.AccessRefused:
		return source.Errorf(source.ReasonUnauthorized, "%s does not allow this: %s", l.server(), text)
	case e.Code == amqp.NotAllowed && strings.Contains(e.Reason, "not found"):
		return source.Errorf(reasonNoVHost, "%s has no virtual host %s", l.server(), l.vhost)
	case e.Code == amqp.NotAllowed:
		return source.Errorf(source.ReasonUnauthorized, "%s does not allow this: %s", l.server(), text)
	case e.Code == amqp.ConnectionForced:
		return source.Errorf(source.ReasonUnreachable, "%s ended the connection: %s", l.server(), text)
	}
	return source.Errorf(source.ReasonFailed, "%s refused the request: %s", l.server(), text)
}
