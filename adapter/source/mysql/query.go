package mysql

import (
	"context"
	"net"
	"strconv"

	driver "github.com/go-sql-driver/mysql"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlconn"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "mySQL"

// clientName is what the server shows of our connections' attributes.
const clientName = "quartet-metrics-adapter"

// Builder builds queries that share connections: a small pool for each server,
// database, user and TLS settings. It is a source.Builder.
type Builder struct{ pool *pool }

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder { return &Builder{pool: sqlconn.NewPool[*conn]()} }

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names server and database.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.MySQL == nil {
		return "", false
	}
	return Kind + " " + s.MySQL.Address + "/" + s.MySQL.Database, true
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.MySQL
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.mySQL is not set")
	}
	if err := sqlvalue.CheckStatement(spec.Statement); err != nil {
		return nil, err
	}
	reader := access.NewReader(ctx, r.Secrets)
	basic, tls := reader.Basic(&spec.Credentials), reader.TLS(spec.TLS)
	if reader.Err() != nil {
		return nil, reader.Err()
	}
	config, err := configure(*spec, basic, tls)
	if err != nil {
		return nil, err
	}
	q := &myQuery{
		pool: b.pool, server: spec.Address, database: spec.Database, statement: spec.Statement,
		secrets: []access.Secret{basic.Password, basic.User}, config: config,
	}
	q.link = access.Digest(spec.Address, spec.Database, basic, tls)
	q.subject = access.Digest(spec.Address, spec.Database, spec.Statement)
	q.key = access.Digest(q.link, spec.Statement)
	return q, nil
}

// configure makes the client's configuration. Its defaults send no password in
// clear text, fall back to no weaker connection and take one statement at a time.
func configure(spec v1alpha1.MySQLSource, basic access.Basic, tls access.TLS) (*driver.Config, error) {
	host, portText, err := net.SplitHostPort(spec.Address)
	if err != nil || host == "" {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.mySQL.address is no host:port")
	}
	if port, err := strconv.ParseUint(portText, 10, 16); err != nil || port == 0 {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.mySQL.address has no port from 1 to 65535")
	}
	config := driver.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", spec.Address, spec.Database
	config.User, config.Passwd = basic.User.Reveal(), basic.Password.Reveal()
	config.ConnectionAttributes = "program_name:" + clientName
	config.Logger = &driver.NopLogger{} // it writes to standard error otherwise
	if tls.Set {
		if config.TLS = tls.Config(); config.TLS.ServerName == "" {
			config.TLS.ServerName = host
		}
		// Over TLS the password is as safe in clear text as everything else.
		config.AllowCleartextPasswords = true
	}
	return config, nil
}

// myQuery is one statement, run with one set of credentials.
type myQuery struct {
	pool               *pool
	server, database   string
	statement          string
	secrets            []access.Secret
	config             *driver.Config
	link, key, subject string
}

func (q *myQuery) Kind() string    { return Kind }
func (q *myQuery) Key() string     { return q.key }
func (q *myQuery) Subject() string { return q.subject }
func (q *myQuery) String() string  { return Kind + " " + q.server + "/" + q.database }

// Server is the address, whose limits all its databases share.
func (q *myQuery) Server() string { return q.server }

// GoString keeps credentials out of %#v.
func (q *myQuery) GoString() string { return q.String() }

// Open makes the poller. The connection is made by the first poll.
func (q *myQuery) Open() (source.Poller, error) {
	return &poller{query: q, link: q.acquire()}, nil
}
