package postgresql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/postgresql"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const (
	// pollTimeout is generous: a poll of a healthy server takes milliseconds.
	pollTimeout = 5 * time.Second
	password    = "correct-horse-battery"
)

// cluster is a running server with a database shop, whose user reader may read
// and write, so that it is not the user's permissions that keep statements from
// writing.
type cluster struct {
	*brokers.Server
	config    brokers.PostgresConfig
	authority *brokertest.Authority
	admin     *pgconn.PgConn
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	brokertest.Program(t, "postgres")
	c := &cluster{config: brokers.PostgresConfig{
		Dir: brokertest.Folder(t, "postgres"), Port: brokertest.FreePort(t), Password: password,
		CertificateUsers: []string{"certified"}, ClearTextUsers: []string{"clear"},
	}}
	c.authority = brokertest.NewAuthority(t, c.config.Dir)
	pair := c.authority.Server(t)
	c.config.CA, c.config.Certificate, c.config.Key = c.authority.CAPath, pair.CertificatePath, pair.KeyPath
	config, err := brokers.Postgres(t.Context(), c.config)
	if err != nil {
		t.Fatal(err)
	}
	c.Server = brokertest.Start(t, config)
	c.admin = c.connect(t, "postgres")
	c.exec(t, "CREATE DATABASE shop")
	c.admin = c.connect(t, "shop")
	c.exec(t, fmt.Sprintf(`
		CREATE USER reader PASSWORD '%[1]s'; CREATE USER certified; CREATE USER clear PASSWORD '%[1]s'; CREATE USER nobody PASSWORD '%[1]s';
		CREATE TABLE jobs (id serial PRIMARY KEY, state text NOT NULL, at timestamptz NOT NULL DEFAULT now());
		GRANT ALL ON ALL TABLES IN SCHEMA public TO reader; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO reader;
		GRANT SELECT ON jobs TO certified, clear;
		CREATE FUNCTION add_job() RETURNS integer LANGUAGE sql AS $$ INSERT INTO jobs (state) VALUES ('waiting') RETURNING id $$`, password))
	return c
}

// connect makes a connection of the superuser that ends with the test.
func (c *cluster) connect(t *testing.T, database string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=postgres password=%s dbname=%s sslmode=disable",
		c.config.Port, password, database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// exec runs statements as the superuser and gives the last one's first cell.
func (c *cluster) exec(t *testing.T, statements string) string {
	t.Helper()
	results, err := c.admin.Exec(t.Context(), statements).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

// running counts the connections of ours on which a statement runs that holds a
// text, or that are in any state where the text is empty.
func (c *cluster) running(t *testing.T, text string) string {
	t.Helper()
	return c.exec(t, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quartet-metrics-adapter'
		AND ('`+text+`' = '' OR (state = 'active' AND query LIKE '%`+text+`%'))`)
}

var keys = brokertest.Secrets{
	"db/user": "reader", "db/password": password, "db/wrong": "wrong-horse-battery", "db/nobody": "nobody",
	"db/certified": "certified", "db/clear": "clear",
}

func (c *cluster) spec(statement string) v1alpha1.PostgreSQLSource {
	return v1alpha1.PostgreSQLSource{
		Address: c.config.Address(), Database: "shop", Statement: statement, Credentials: credentials("user", "password"),
	}
}

func credentials(user, password string) v1alpha1.BasicAuth {
	return v1alpha1.BasicAuth{
		Username: v1alpha1.SecretKey{Name: "db", Key: user}, Password: v1alpha1.SecretKey{Name: "db", Key: password},
	}
}

func build(t *testing.T, b *postgresql.Builder, spec v1alpha1.PostgreSQLSource, secrets brokertest.Secrets) (source.Query, error) {
	t.Helper()
	return b.Build(t.Context(), source.Request{
		Namespace: "shop", Source: v1alpha1.Source{PostgreSQL: &spec}, Kinds: []query.Kind{query.Value},
		Secrets: secrets, Timeout: pollTimeout,
	})
}

func openWith(t *testing.T, b *postgresql.Builder, spec v1alpha1.PostgreSQLSource, secrets brokertest.Secrets) source.Poller {
	t.Helper()
	q, err := build(t, b, spec, secrets)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(p.Close)
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(format+format, q, p); strings.Contains(text, password) {
			t.Errorf("%s shows a credential: %s", format, text)
		}
	}
	return p
}

func open(t *testing.T, spec v1alpha1.PostgreSQLSource) source.Poller {
	t.Helper()
	return openWith(t, postgresql.NewBuilder(), spec, keys)
}

func poll(t *testing.T, p source.Poller, timeout time.Duration) (query.Reading, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return p.Poll(ctx)
}

func mustPoll(t *testing.T, p source.Poller) query.Reading {
	t.Helper()
	r, err := poll(t, p, pollTimeout)
	if err != nil {
		t.Fatalf("poll: %v", err)
	}
	return r
}

// wantFailure polls, expects a reason and gives the message, which shows no
// credential.
func wantFailure(t *testing.T, p source.Poller, timeout time.Duration, want string) string {
	t.Helper()
	r, err := poll(t, p, timeout)
	if err == nil {
		t.Fatalf("the poll succeeded with %+v, want %s", r, want)
	}
	reason, message := source.ReasonOf(err)
	if reason != want {
		t.Fatalf("the poll failed with %s (%s), want %s", reason, message, want)
	}
	for _, secret := range []string{password, keys["db/wrong"]} {
		if strings.Contains(message, secret) {
			t.Errorf("the message shows a credential: %s", message)
		}
	}
	return message
}
