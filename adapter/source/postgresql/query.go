package postgresql

import (
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlconn"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "postgreSQL"

const (
	// clientName is what pg_stat_activity shows of our connections.
	clientName = "quartet-metrics-adapter"
	// maxMessage bounds one message of the server, in bytes: one row with one
	// number is far smaller.
	maxMessage = 64 << 10
)

// Builder builds queries that share connections: a small pool for each server,
// database, user and TLS settings. It is a source.Builder.
type Builder struct{ pool *pool }

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder { return &Builder{pool: sqlconn.NewPool[*pgconn.PgConn]()} }

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names server and database.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.PostgreSQL == nil {
		return "", false
	}
	return Kind + " " + s.PostgreSQL.Address + "/" + s.PostgreSQL.Database, true
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.PostgreSQL
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.postgreSQL is not set")
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
	q := &pgQuery{
		pool: b.pool, server: spec.Address, database: spec.Database,
		statement: spec.Statement, channel: spec.Listen,
		secrets: []access.Secret{basic.Password, basic.User}, config: config,
	}
	q.link = access.Digest(spec.Address, spec.Database, basic, tls)
	q.subject = access.Digest(spec.Address, spec.Database, spec.Statement)
	q.key = access.Digest(q.link, spec.Statement, spec.Listen)
	return q, nil
}

// configure makes the client's configuration. What the environment of the process
// says of PostgreSQL counts for nothing.
func configure(spec v1alpha1.PostgreSQLSource, basic access.Basic, tls access.TLS) (*pgconn.Config, error) {
	host, portText, err := net.SplitHostPort(spec.Address)
	if err != nil || host == "" || strings.Contains(host, "/") {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.postgreSQL.address is no host:port")
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.postgreSQL.address has no port from 1 to 65535")
	}
	// The client takes only what its own parser made, which heeds the environment
	// wherever this says nothing; all of it is replaced below.
	config, err := pgconn.ParseConfig("host=localhost port=5432 user=none dbname=none sslmode=disable target_session_attrs=any connect_timeout=0")
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "the environment of metrics-adapter has settings of PostgreSQL (PG...) that cannot be used")
	}
	config.Host, config.Port, config.Database = host, uint16(port), spec.Database
	config.User, config.Password = basic.User.Reveal(), basic.Password.Reveal()
	config.Fallbacks, config.ValidateConnect, config.AfterConnect, config.OAuthTokenProvider = nil, nil, nil, nil
	config.SSLNegotiation, config.SSLCertMode, config.ChannelBinding = "", "", "prefer"
	config.KerberosSrvName, config.KerberosSpn = "", ""
	config.DialFunc = access.Dialer(0).DialContext
	config.RuntimeParams = map[string]string{"application_name": clientName}
	config.MaxProtocolMessageBodyLen = maxMessage
	config.TLSConfig, config.RequireAuth = nil, ""
	if tls.Set {
		if config.TLSConfig = tls.Config(); config.TLSConfig.ServerName == "" {
			config.TLSConfig.ServerName = host
		}
	} else {
		// Whoever reads along, or answers in the server's place, hears no password.
		config.RequireAuth = "!password"
	}
	return config, nil
}

// pgQuery is one statement, run with one set of credentials.
type pgQuery struct {
	pool               *pool
	server, database   string
	statement, channel string
	secrets            []access.Secret
	config             *pgconn.Config
	link, key, subject string
}

func (q *pgQuery) Kind() string    { return Kind }
func (q *pgQuery) Key() string     { return q.key }
func (q *pgQuery) Subject() string { return q.subject }
func (q *pgQuery) String() string  { return Kind + " " + q.server + "/" + q.database }

// Server is the address, whose limits all its databases share.
func (q *pgQuery) Server() string { return q.server }

// GoString keeps credentials out of %#v.
func (q *pgQuery) GoString() string { return q.String() }

// Open makes the poller. The connection is made by the first poll.
func (q *pgQuery) Open() (source.Poller, error) {
	p := &poller{query: q, link: q.acquire()}
	if q.channel == "" {
		return p, nil
	}
	return &listener{poller: p}, nil
}
