package postgresql

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

const (
	// linkSize is how many connections one link has for statements: a second, so
	// that one slow statement does not hold up all others.
	linkSize = 2
	// idleFor is how long a connection that nobody uses stays open.
	idleFor = time.Minute
	// closeLimit bounds the farewell to a server.
	closeLimit = time.Second
)

// pool shares links between pollers.
type pool struct {
	mu    sync.Mutex
	links map[string]*link
}

func newPool() *pool { return &pool{links: map[string]*link{}} }

// acquire gives the shared link of a query, without any connection yet.
func (p *pool) acquire(q *pgQuery) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.links[q.link]
	if !ok {
		l = &link{pool: p, key: q.link, config: q.config, free: make(chan struct{}, linkSize)}
		p.links[q.link] = l
	}
	l.users++
	return l
}

// link is the connections of one user to one database. Each is made when it is
// first needed, and made again where it is found lost.
type link struct {
	pool   *pool
	key    string
	config *pgconn.Config
	// users is guarded by the pool's mutex.
	users int
	// free holds an element for every connection in use.
	free chan struct{}

	mu     sync.Mutex
	idle   []idleConn
	closed bool
}

type idleConn struct {
	conn  *pgconn.PgConn
	since time.Time
}

// String keeps credentials out of every print.
func (l *link) String() string { return "link" }

// GoString keeps credentials out of %#v.
func (l *link) GoString() string { return "link" }

// take gives a connection, and whether it was used before. Only so many are out
// at one time.
func (l *link) take(ctx context.Context) (conn *pgconn.PgConn, used bool, err error) {
	select {
	case l.free <- struct{}{}:
	case <-ctx.Done():
		return nil, false, source.Errorf(source.ReasonTimeout, "all %d connections were busy with other statements", linkSize)
	}
	if conn := l.takeIdle(); conn != nil {
		return conn, true, nil
	}
	if conn, err = pgconn.ConnectConfig(ctx, l.config); err != nil {
		<-l.free
		return nil, false, err
	}
	return conn, false, nil
}

// takeIdle gives the connection that was used last, nil where there is none.
func (l *link) takeIdle() *pgconn.PgConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) == 0 {
		return nil
	}
	last := len(l.idle) - 1
	conn := l.idle[last].conn
	l.idle = l.idle[:last]
	return conn
}

// give takes a connection back. One that is lost or in the middle of something is
// closed.
func (l *link) give(conn *pgconn.PgConn) {
	defer func() { <-l.free }()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || conn.IsClosed() || conn.IsBusy() || conn.TxStatus() != 'I' {
		go farewell(conn)
		return
	}
	l.idle = append(l.idle, idleConn{conn: conn, since: time.Now()})
	time.AfterFunc(idleFor, func() { l.reap(time.Now().Add(-idleFor)) })
}

// reap closes the connections that are idle since before a time.
func (l *link) reap(before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.idle[:0]
	for _, i := range l.idle {
		if i.since.After(before) {
			kept = append(kept, i)
		} else {
			go farewell(i.conn)
		}
	}
	l.idle = kept
}

// release gives the link back; the last user closes what is idle.
func (l *link) release() {
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

func farewell(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	// A connection that does not close well is gone as well.
	_ = conn.Close(ctx)
}
