package postgresql

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quartet-autoscaling/quartet/adapter/source/sqlconn"
)

// closeLimit bounds the farewell to a server.
const closeLimit = time.Second

// The pool of connections, and those of one link.
type (
	pool = sqlconn.Pool[*pgconn.PgConn]
	link = sqlconn.Link[*pgconn.PgConn]
)

// acquire gives the query's link, which has no connection yet.
func (q *pgQuery) acquire() *link {
	config := q.config.Copy()
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return sqlconn.DialBounded(ctx, network, address)
	}
	return q.pool.Acquire(q.link, sqlconn.Config[*pgconn.PgConn]{
		Dial: func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.ConnectConfig(ctx, config) },
		// One that is lost, or in the middle of something, serves nobody.
		Reusable: func(c *pgconn.PgConn) bool { return !c.IsClosed() && !c.IsBusy() && c.TxStatus() == 'I' },
		Close:    farewell,
	})
}

func farewell(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	// A connection that does not close well is gone as well.
	_ = conn.Close(ctx)
}
