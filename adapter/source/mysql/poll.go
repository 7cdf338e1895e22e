package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
)

// defaultLimit is the server's limit where a poll has none.
const defaultLimit = 30 * time.Second

// poller runs one statement.
type poller struct {
	query *myQuery
	link  *link
	once  sync.Once
}

func (p *poller) Close() { p.once.Do(p.link.Release) }

// Poll runs the statement in a transaction of its own, which is always rolled
// back.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	c, asked, err := p.begin(ctx)
	if err != nil {
		return query.Reading{}, p.query.failure(err)
	}
	defer p.link.Give(c)
	result, err := c.rows(ctx, p.query.statement)
	if ctx.Err() != nil {
		go p.query.kill(c.id)
	}
	if back := c.exec(ctx, "ROLLBACK"); back != nil {
		c.broken = true
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
func (p *poller) begin(ctx context.Context) (*conn, sqlvalue.Asked, error) {
	for {
		c, used, err := p.link.Take(ctx)
		if err != nil {
			return nil, sqlvalue.Asked{}, err
		}
		asked, err := c.begin(ctx, used)
		if err == nil {
			return c, asked, nil
		}
		lost := c.broken || !c.IsValid()
		c.broken = true // in the middle of something
		p.link.Give(c)
		if !used || !lost || ctx.Err() != nil {
			return nil, sqlvalue.Asked{}, err
		}
	}
}

// begin opens the transaction, and gives the server's clock. The server ends the
// statement a little before the poll gives up, so that it ends in any case. MySQL
// and MariaDB have different settings for that: each runs only its own of the two
// comments. A result ends after the second row, which tells that there is more
// than one.
func (c *conn) begin(ctx context.Context, used bool) (sqlvalue.Asked, error) {
	limit := defaultLimit
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(10*time.Millisecond, time.Until(deadline)*9/10)
	}
	var asked sqlvalue.Asked
	if used {
		if err := c.guard(func() error { return c.ResetSession(ctx) }); err != nil {
			c.broken = true
			return asked, err
		}
	}
	for _, statement := range []string{
		fmt.Sprintf("SET SESSION time_zone = '+00:00', sql_select_limit = %d /*!50708 , max_execution_time = %d */ /*M!100101 , max_statement_time = %.3f */",
			sqlvalue.RowsNeeded, limit.Milliseconds(), limit.Seconds()),
		"START TRANSACTION READ ONLY",
	} {
		if err := c.exec(ctx, statement); err != nil {
			return asked, err
		}
	}
	asked.Sent = source.Now()
	told, err := c.rows(ctx, "SELECT CONNECTION_ID(), UTC_TIMESTAMP(6)")
	asked.Received = source.Now()
	if err != nil {
		return asked, err
	}
	if len(told.Rows) != 1 || len(told.Rows[0]) != 2 || told.Rows[0][0] == nil || told.Rows[0][1] == nil {
		return asked, errGarbage
	}
	if c.id, err = strconv.ParseUint(*told.Rows[0][0], 10, 64); err != nil {
		return asked, errGarbage
	}
	asked.Server, err = sqlvalue.ParseTime(*told.Rows[0][1])
	return asked, err
}

// rows gives the beginning of a statement's result.
func (c *conn) rows(ctx context.Context, statement string) (result sqlvalue.Result, err error) {
	err = c.guard(func() error {
		rows, err := c.QueryContext(ctx, statement, nil)
		if err != nil {
			return err
		}
		read := read(rows, &result)
		return errors.Join(read, rows.Close())
	})
	return result, err
}

func read(rows sqldriver.Rows, result *sqlvalue.Result) error {
	result.Columns = rows.Columns()
	if len(result.Columns) > 1 && strings.EqualFold(result.Columns[1], sqlvalue.SampledAt) {
		types, ok := rows.(sqldriver.RowsColumnTypeDatabaseTypeName)
		if !ok || !slices.Contains([]string{"TIMESTAMP", "DATETIME"}, types.ColumnTypeDatabaseTypeName(1)) {
			return source.Errorf(source.ReasonBadReply, "the statement's %s is no TIMESTAMP or DATETIME", sqlvalue.SampledAt)
		}
	}
	values := make([]sqldriver.Value, len(result.Columns))
	for len(result.Rows) < sqlvalue.RowsNeeded {
		err := rows.Next(values)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		result.Rows = append(result.Rows, cells(values))
	}
	return nil
}

// cells are the values as text, nil for NULL.
func cells(values []sqldriver.Value) []*string {
	row := make([]*string, len(values))
	for i, value := range values {
		if value == nil {
			continue
		}
		var text string
		switch v := value.(type) {
		case []byte:
			text = string(v)
		case float64:
			text = strconv.FormatFloat(v, 'g', -1, 64)
		case float32:
			text = strconv.FormatFloat(float64(v), 'g', -1, 32)
		default:
			text = fmt.Sprint(v)
		}
		row[i] = &text
	}
	return row
}
