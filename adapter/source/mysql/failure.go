package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	driver "github.com/go-sql-driver/mysql"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlconn"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
)

// failure says in our words what went wrong. Of what the server says only codes
// are repeated: its texts hold parts of rows and statements.
func (q *myQuery) failure(err error) *source.Error {
	var ours *source.Error
	var refused *driver.MySQLError
	var network net.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, sqlconn.ErrTooLong):
		return source.Errorf(source.ReasonBadReply, "%s answered with more than %d KiB", q.server, sqlconn.MaxReply>>10)
	case errors.As(err, &refused):
		return q.refusal(refused.Number)
	case access.IsTimeout(err), errors.Is(err, context.Canceled):
		return source.Errorf(source.ReasonTimeout, "%s did not answer in time", q.server)
	case errors.Is(err, driver.ErrNoTLS):
		return source.Errorf(source.ReasonTLS, "%s does not offer TLS", q.server)
	case anyOf(err, driver.ErrCleartextPassword, driver.ErrOldPassword, driver.ErrNativePassword, driver.ErrUnknownPlugin):
		return source.Errorf(source.ReasonUnauthorized, "%s asks for the password in a way that is not taken, such as in clear text without tls", q.server)
	case anyOf(err, driver.ErrInvalidConn, sqldriver.ErrBadConn):
		return source.Errorf(source.ReasonUnreachable, "the connection to %s was lost", q.server)
	case access.IsTLS(err), errors.As(err, &network), anyOf(err, io.EOF, io.ErrUnexpectedEOF):
		return access.Failure(q.server, err, q.secrets...)
	}
	return source.Errorf(source.ReasonBadReply, "%s does not answer as a MySQL server does", q.server)
}

func anyOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// refusal tells the server's errors apart by their numbers, which MySQL and
// MariaDB share, but for those of a statement that takes too long.
func (q *myQuery) refusal(number uint16) *source.Error {
	say := func(reason, text string) *source.Error {
		return source.Errorf(reason, "%s (error %d)", text, number)
	}
	switch number {
	case 1045, 1698, 1130, 1862, 1820, 3118, 4151: // access denied, host not allowed, password expired, account locked
		return say(source.ReasonUnauthorized, q.server+" refused the credentials")
	case 1044: // denied to the database, which need not exist
		return say(source.ReasonUnauthorized, "the user is not allowed to use database "+q.database)
	case 1142, 1143, 1227, 1370: // denied: table, column, privilege, routine
		return say(source.ReasonUnauthorized, "the user is not allowed to run the statement")
	case 1049:
		return say(sqlvalue.ReasonNoDatabase, q.server+" has no database "+q.database)
	case 1146:
		return say(sqlvalue.ReasonNoTable, "the statement names a table that does not exist")
	case 1792:
		return say(sqlvalue.ReasonNotReadOnly, "the statement would write, and was refused")
	case 1064:
		if sqlvalue.Several(q.statement) {
			return say(sqlvalue.ReasonNotReadOnly, "there is more than one statement: none was run")
		}
	case 1969, 3024, 1317: // MariaDB's and MySQL's limit, and ended by someone
		return say(source.ReasonTimeout, q.server+" ended the statement: it took too long")
	case 1040, 1203, 1226, 1053, 1129, 1927, 1152, 1184: // too many, shutting down, blocked, ended
		return say(source.ReasonUnreachable, q.server+" does not serve at present")
	}
	return say(sqlvalue.ReasonStatement, "the server refused the statement, or failed to run it")
}
