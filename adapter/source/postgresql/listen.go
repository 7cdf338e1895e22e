package postgresql

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

const (
	// listenDial bounds the making of the connection that listens.
	listenDial = 10 * time.Second
	// listenQuiet is how long nothing may be heard before the server is asked
	// whether it is still there, and listenPing how long it may take to answer.
	listenQuiet = 30 * time.Second
	listenPing  = 5 * time.Second
)

// listener is a poller whose server tells of changes. It is a source.Pusher.
type listener struct{ *poller }

// Watch listens on the channel, on a connection of its own, until ctx ends or the
// connection is lost. What changed before it listened shows once it does.
func (l *listener) Watch(ctx context.Context, changed func()) error {
	config := l.query.config.Copy()
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { changed() }
	conn, err := l.listen(ctx, config)
	if err == nil {
		defer farewell(conn)
		changed()
		err = hear(ctx, conn)
	}
	if ctx.Err() != nil {
		return nil
	}
	return l.query.failure(err)
}

func (l *listener) listen(ctx context.Context, config *pgconn.Config) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(ctx, listenDial)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	quoted := `"` + strings.ReplaceAll(l.query.channel, `"`, `""`) + `"`
	if _, err := conn.Exec(ctx, "LISTEN "+quoted).ReadAll(); err != nil {
		farewell(conn)
		return nil, err
	}
	return conn, nil
}

// hear takes notifications until one of them cannot be had.
func hear(ctx context.Context, conn *pgconn.PgConn) error {
	for {
		err := within(ctx, listenQuiet, conn.WaitForNotification)
		if err != nil && ctx.Err() == nil && quiet(err) && !conn.IsClosed() {
			err = within(ctx, listenPing, conn.Ping)
		}
		if err != nil {
			return err
		}
	}
}

func quiet(err error) bool { return access.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded) }

func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}
