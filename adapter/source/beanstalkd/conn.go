package beanstalkd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// maxIdle is how many connections to one server are kept between polls.
const maxIdle = 4

// servers are those that pollers are open for.
type servers struct {
	mu   sync.Mutex
	held map[string]*server
}

// server keeps the connections to one address that no poll is using.
type server struct {
	address string
	owner   *servers
	// users is guarded by the owner's mutex.
	users int

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

func (s *servers) acquire(address string) *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.held[address]
	if !ok {
		held = &server{address: address, owner: s}
		s.held[address] = held
	}
	held.users++
	return held
}

// release gives the server back; the last user closes its connections.
func (s *server) release() {
	s.owner.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(s.owner.held, s.address)
	}
	s.owner.mu.Unlock()
	if !last {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.idle {
		_ = c.Close()
	}
	s.idle = nil
}

// conn is one connection, used by one poll at a time.
type conn struct {
	net.Conn
	reader *bufio.Reader
}

// take gives a connection that was used before, nil where there is none.
func (s *server) take() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	c := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return c
}

// keep takes back a connection on which nothing is under way.
func (s *server) keep(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= maxIdle || c.reader.Buffered() > 0 {
		_ = c.Close()
		return
	}
	s.idle = append(s.idle, c)
}

func (s *server) dial(ctx context.Context) (*conn, error) {
	c, err := access.Dialer(0).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, reader: bufio.NewReader(c)}, nil
}

// exchange sends commands and reads one reply for each. A connection that was
// kept may have been ended by the server since, and is tried once only.
func (s *server) exchange(ctx context.Context, commands string, replies int) ([]reply, error) {
	if c := s.take(); c != nil {
		got, err := c.exchange(ctx, commands, replies)
		if err == nil {
			s.keep(c)
			return got, nil
		}
		_ = c.Close()
		if !ended(err) {
			return nil, err
		}
	}
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	got, err := c.exchange(ctx, commands, replies)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	s.keep(c)
	return got, nil
}

func (c *conn) exchange(ctx context.Context, commands string, replies int) ([]reply, error) {
	deadline, _ := ctx.Deadline() // none is no deadline for the connection too
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	got, err := c.converse(commands, replies)
	if !stop() && err == nil {
		// The deadline may be moved yet, under the next one who takes the connection.
		err = ctx.Err()
	}
	return got, err
}

func (c *conn) converse(commands string, replies int) ([]reply, error) {
	if _, err := io.WriteString(c, commands); err != nil {
		return nil, err
	}
	got := make([]reply, 0, replies)
	for range replies {
		r, err := readReply(c.reader)
		if err != nil {
			return nil, err
		}
		got = append(got, r)
	}
	return got, nil
}

// ended tells whether the server had ended a connection.
func ended(err error) bool {
	return slices.ContainsFunc([]error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE},
		func(target error) bool { return errors.Is(err, target) })
}
