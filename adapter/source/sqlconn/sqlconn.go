// Package sqlconn shares a few connections to a database between the pollers that
// ask it with the same credentials, so that many queries are not many
// connections. It knows no database's protocol and runs no statement: how a
// connection is made and ended it is told.
package sqlconn

import (
	"context"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

const (
	// Size is how many connections one link has: a second, so that one slow
	// statement does not hold up all others.
	Size = 2
	// idleFor is how long a connection that nobody uses stays open.
	idleFor = time.Minute
)

// Config says how connections of one link are made and ended.
type Config[C any] struct {
	// Dial makes a connection.
	Dial func(ctx context.Context) (C, error)
	// Reusable tells whether a connection can serve another poll.
	Reusable func(C) bool
	// Close ends a connection. It may take its time.
	Close func(C)
}

// Pool is the links that are in use, by key. It is safe for use by several
// goroutines.
type Pool[C any] struct {
	mu    sync.Mutex
	links map[string]*Link[C]
}

// NewPool makes a Pool without any link.
func NewPool[C any]() *Pool[C] { return &Pool[C]{links: map[string]*Link[C]{}} }

// Acquire gives the link of a key, which has no connection until one is taken.
// Links of one key have the same Config.
func (p *Pool[C]) Acquire(key string, cfg Config[C]) *Link[C] {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.links[key]
	if !ok {
		l = &Link[C]{pool: p, key: key, cfg: cfg, busy: make(chan struct{}, Size)}
		p.links[key] = l
	}
	l.users++
	return l
}

// Link is the connections of one user to one database. Each is made when it is
// first needed.
type Link[C any] struct {
	pool *Pool[C]
	key  string
	cfg  Config[C]
	// users is guarded by the pool's mutex.
	users int
	// busy holds an element for every connection that is taken.
	busy chan struct{}

	mu     sync.Mutex
	idle   []idle[C]
	closed bool
	// reaping tells that somebody will look for connections to end.
	reaping bool
}

type idle[C any] struct {
	conn  C
	since time.Time
}

// String keeps what connections are made with out of every print.
func (l *Link[C]) String() string { return "link" }

// GoString keeps what connections are made with out of %#v.
func (l *Link[C]) GoString() string { return "link" }

// Take gives a connection, and whether it was used before: such a one may have
// been lost meanwhile. Every connection that is taken is given back. Its error is
// a *source.Error where no connection was free in time, and Dial's otherwise.
func (l *Link[C]) Take(ctx context.Context) (conn C, used bool, err error) {
	select {
	case l.busy <- struct{}{}:
	case <-ctx.Done():
		return conn, false, source.Errorf(source.ReasonTimeout, "all %d connections were busy with other statements", Size)
	}
	if conn, used = l.takeIdle(); used {
		return conn, true, nil
	}
	if conn, err = l.cfg.Dial(ctx); err != nil {
		<-l.busy
	}
	return conn, false, err
}

// takeIdle gives the connection that was used last, or false where there is none.
func (l *Link[C]) takeIdle() (conn C, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) == 0 {
		return conn, false
	}
	last := len(l.idle) - 1
	conn = l.idle[last].conn
	l.idle = l.idle[:last]
	return conn, true
}

// Give takes a connection back. One that cannot serve another poll is ended.
func (l *Link[C]) Give(conn C) {
	defer func() { <-l.busy }()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.cfg.Reusable(conn) {
		go l.cfg.Close(conn)
		return
	}
	l.idle = append(l.idle, idle[C]{conn: conn, since: time.Now()})
	l.reapLater()
}

// reapLater has one look, whatever the number of connections that were given back.
// The caller holds the mutex.
func (l *Link[C]) reapLater() {
	if l.reaping || len(l.idle) == 0 {
		return
	}
	l.reaping = true
	time.AfterFunc(time.Until(l.idle[0].since.Add(idleFor)), func() {
		l.reap(time.Now().Add(-idleFor))
		l.mu.Lock()
		defer l.mu.Unlock()
		l.reaping = false
		l.reapLater()
	})
}

// Release says that one of the link's users needs it no more. The last one ends
// the connections that are idle; those that are taken end when they are given.
func (l *Link[C]) Release() {
	l.pool.mu.Lock()
	l.users--
	last := l.users == 0
	if last && l.pool.links[l.key] == l {
		delete(l.pool.links, l.key)
	}
	l.pool.mu.Unlock()
	if !last {
		return
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.reap(time.Now())
}

// reap ends the connections that are idle since a time or longer.
func (l *Link[C]) reap(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept []idle[C]
	for _, i := range l.idle {
		if i.since.After(since) {
			kept = append(kept, i)
		} else {
			go l.cfg.Close(i.conn)
		}
	}
	l.idle = kept
}
