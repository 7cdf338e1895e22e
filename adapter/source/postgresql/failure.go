package postgresql

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlconn"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
)

// failure says in our words what went wrong. Of what the server says only codes
// and places are repeated: its texts hold parts of rows and statements.
func (q *pgQuery) failure(err error) *source.Error {
	var ours *source.Error
	var refused *pgconn.PgError
	var tooLong *pgproto3.ExceededMaxBodyLenErr
	var connecting *pgconn.ConnectError
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &refused):
		return q.refusal(refused)
	case errors.Is(err, sqlconn.ErrTooLong):
		return source.Errorf(source.ReasonBadReply, "%s answered with more than %d KiB", q.server, sqlconn.MaxReply>>10)
	case errors.As(err, &tooLong):
		return source.Errorf(source.ReasonBadReply, "%s answered with more than %d KiB at once", q.server, maxMessage>>10)
	case access.IsTimeout(err), errors.Is(err, context.Canceled):
		return source.Errorf(source.ReasonTimeout, "%s did not answer in time", q.server)
	case strings.Contains(err.Error(), "authentication method requirement"):
		return source.Errorf(source.ReasonUnauthorized, "%s asks for the password in clear text, which is not sent without tls", q.server)
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return source.Errorf(source.ReasonTLS, "%s does not offer TLS", q.server)
	}
	if errors.As(err, &connecting) {
		err = connecting.Unwrap() // without the user's name in its text
	}
	var network net.Error
	if access.IsTLS(err) || errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed) {
		return access.Failure(q.server, err, q.secrets...)
	}
	return source.Errorf(source.ReasonBadReply, "%s does not answer as a PostgreSQL server does", q.server)
}

// refusal tells the server's errors apart by their SQLSTATE.
func (q *pgQuery) refusal(e *pgconn.PgError) *source.Error {
	class, code := "", e.Code
	if len(code) == 5 {
		class = code[:2]
	} else {
		code = "unknown"
	}
	say := func(reason, format string, args ...any) *source.Error {
		said := source.Errorf(reason, format, args...)
		said.Message += " (SQLSTATE " + code + ")"
		return said
	}
	switch {
	case class == "28":
		return say(source.ReasonUnauthorized, "%s refused the credentials", q.server)
	case code == "42501":
		return say(source.ReasonUnauthorized, "the user is not allowed to run the statement")
	case code == "3D000":
		return say(sqlvalue.ReasonNoDatabase, "%s has no database %s", q.server, q.database)
	case code == "42P01":
		return say(sqlvalue.ReasonNoTable, "the statement names a table that does not exist, at character %d", e.Position)
	case code == "25006":
		return say(sqlvalue.ReasonNotReadOnly, "the statement would write, and was refused")
	case code == "42601" && e.Routine == "exec_parse_message":
		return say(sqlvalue.ReasonNotReadOnly, "there is more than one statement: none was run")
	case code == "57014":
		return say(source.ReasonTimeout, "%s ended the statement: it took too long", q.server)
	case class == "08", class == "53", class == "57":
		return say(source.ReasonUnreachable, "%s does not serve at present", q.server)
	case e.Position > 0:
		return say(sqlvalue.ReasonStatement, "the server refused the statement, at character %d", e.Position)
	}
	return say(sqlvalue.ReasonStatement, "the server failed to run the statement")
}
