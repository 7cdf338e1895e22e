package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/quartet-autoscaling/quartet/adapter/source/sqlconn"
)

// killLimit bounds the ending of a statement that was given up.
const killLimit = 5 * time.Second

// The pool of connections, and those of one link.
type (
	pool = sqlconn.Pool[*conn]
	link = sqlconn.Link[*conn]
)

// errGarbage is what the client's library could not make sense of.
var errGarbage = errors.New("the server's answer makes no sense")

// acquire gives the query's link, which has no connection yet.
func (q *myQuery) acquire() *link {
	return q.pool.Acquire(q.link, sqlconn.Config[*conn]{
		Dial:     q.dial,
		Reusable: func(c *conn) bool { return !c.broken && c.IsValid() },
		Close:    func(c *conn) { _ = c.guard(c.Close) },
	})
}

// session is what the client's library offers of a connection.
type session interface {
	sqldriver.Conn
	sqldriver.ExecerContext
	sqldriver.QueryerContext
	sqldriver.SessionResetter
	sqldriver.Validator
}

// conn is one connection. One goroutine uses it at a time.
type conn struct {
	session
	wire *sqlconn.Bounded
	// id is the server's number of the connection.
	id uint64
	// broken is set where nothing is known of the connection's state.
	broken bool
}

// guard runs what reads the server's answers. The library panics over some that
// no good server gives: nobody who names a bad one may end this process.
func (c *conn) guard(do func() error) (err error) {
	defer func() {
		if recover() != nil {
			c.broken = true
			err = errGarbage
		}
		if err != nil && c.wire != nil && c.wire.TooLong() {
			err = sqlconn.ErrTooLong
		}
	}()
	return do()
}

// dial makes a connection.
func (q *myQuery) dial(ctx context.Context) (*conn, error) {
	c := &conn{}
	config := q.config.Clone()
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		wire, err := sqlconn.DialBounded(ctx, network, address)
		c.wire = wire
		return wire, err
	}
	err := c.guard(func() error {
		connector, err := driver.NewConnector(config)
		if err != nil {
			return err
		}
		made, err := connector.Connect(ctx)
		if err != nil {
			return err
		}
		var ok bool
		if c.session, ok = made.(session); !ok {
			return errors.Join(fmt.Errorf("%T cannot run statements", made), made.Close())
		}
		return nil
	})
	if err != nil && c.wire != nil {
		_ = c.wire.Close() // the library may have panicked before it did
	}
	return c, err
}

// exec runs a statement of our own that gives no rows.
func (c *conn) exec(ctx context.Context, statement string) error {
	return c.guard(func() error {
		_, err := c.ExecContext(ctx, statement, nil)
		return err
	})
}

// kill ends a connection of the server, and what runs on it, over a connection of
// its own: closing ours does not end what runs.
func (q *myQuery) kill(id uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	c, err := q.dial(ctx)
	if err != nil {
		return // the server's own limit ends the statement
	}
	_ = c.exec(ctx, fmt.Sprintf("KILL %d", id))
	_ = c.guard(c.Close)
}
