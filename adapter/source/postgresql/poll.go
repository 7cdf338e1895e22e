package postgresql

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
)

// defaultLimit is the server's limit where a poll has none.
const defaultLimit = 30 * time.Second

// poller runs one statement.
type poller struct {
	query *pgQuery
	link  *link
	once  sync.Once
}

func (p *poller) Close() { p.once.Do(p.link.Release) }

// Poll runs the statement in a transaction of its own, which is always rolled
// back.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	conn, asked, err := p.begin(ctx)
	if err != nil {
		return query.Reading{}, p.query.failure(err)
	}
	defer p.link.Give(conn)
	result, err := run(ctx, conn, p.query.statement)
	if !conn.IsClosed() {
		// A connection that cannot be brought out of its transaction is not kept.
		_, _ = conn.Exec(ctx, "ROLLBACK").ReadAll()
	}
	if err != nil {
		return query.Reading{}, p.query.failure(err)
	}
	source.Record(ctx, p.query.server, result.Text)
	value, err := result.Value()
	if err != nil {
		return query.Reading{}, err
	}
	return asked.Reading(value)
}

// begin gives a connection in a read-only transaction and the server's clock. A
// connection that was lost while it was idle is made again.
func (p *poller) begin(ctx context.Context) (*pgconn.PgConn, sqlvalue.Asked, error) {
	for {
		conn, used, err := p.link.Take(ctx)
		if err != nil {
			return nil, sqlvalue.Asked{}, err
		}
		asked, err := begin(ctx, conn)
		if err == nil {
			return conn, asked, nil
		}
		lost := conn.IsClosed()
		p.link.Give(conn)
		if !used || !lost || ctx.Err() != nil {
			return nil, sqlvalue.Asked{}, err
		}
	}
}

// begin opens the transaction. The server ends the statement a little before the
// poll gives up, so that it ends in any case; having run a statement already, the
// transaction cannot be made one that writes.
func begin(ctx context.Context, conn *pgconn.PgConn) (sqlvalue.Asked, error) {
	limit := defaultLimit
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(10*time.Millisecond, time.Until(deadline)*9/10)
	}
	asked := sqlvalue.Asked{Sent: source.Now()}
	results, err := conn.Exec(ctx, fmt.Sprintf(
		"BEGIN READ ONLY; SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d; "+
			"SET LOCAL DateStyle = 'ISO'; SET LOCAL TimeZone = 'UTC'; SELECT now()",
		limit.Milliseconds(), (2*limit).Milliseconds())).ReadAll()
	asked.Received = source.Now()
	if err != nil {
		return asked, err
	}
	last := &pgconn.Result{}
	if len(results) > 0 {
		last = results[len(results)-1]
	}
	if len(last.Rows) != 1 || len(last.Rows[0]) != 1 {
		return asked, source.Errorf(source.ReasonBadReply, "the server does not tell its time")
	}
	asked.Server, err = sqlvalue.ParseTime(string(last.Rows[0][0]))
	return asked, err
}

// run gives the beginning of the statement's result. Without parameters it still
// takes the extended protocol, in which a server runs one statement only.
func run(ctx context.Context, conn *pgconn.PgConn, statement string) (sqlvalue.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var result sqlvalue.Result
	reader := conn.ExecParams(ctx, statement, nil, nil, nil, nil)
	for len(result.Rows) < sqlvalue.RowsNeeded && reader.NextRow() {
		result.Rows = append(result.Rows, cells(reader.Values()))
	}
	badTime := false
	for _, field := range reader.FieldDescriptions() {
		result.Columns = append(result.Columns, field.Name)
		badTime = badTime || (len(result.Columns) == 2 && field.Name == sqlvalue.SampledAt && field.DataTypeOID != pgtype.TimestamptzOID)
	}
	if len(result.Rows) == sqlvalue.RowsNeeded {
		// The rest, of any length, is not waited for: this ends the connection.
		cancel()
	}
	_, err := reader.Close()
	switch {
	case len(result.Rows) == sqlvalue.RowsNeeded:
		return result, nil
	case err == nil && badTime:
		return result, source.Errorf(source.ReasonBadReply, "the statement's %s is no timestamptz", sqlvalue.SampledAt)
	}
	return result, err
}

func cells(values [][]byte) []*string {
	row := make([]*string, len(values))
	for i, v := range values {
		if v != nil {
			text := string(v)
			row[i] = &text
		}
	}
	return row
}
