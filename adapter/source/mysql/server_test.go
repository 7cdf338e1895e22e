package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/mysql"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const (
	// pollTimeout is generous: a poll of a healthy server takes milliseconds.
	pollTimeout = 5 * time.Second
	password    = "correct-horse-battery"
)

// instance is a running server with a database shop, whose user reader may read
// and write, so that it is not the user's permissions that keep statements from
// writing.
type instance struct {
	*brokers.Server
	config    brokers.MariaDBConfig
	authority *brokertest.Authority
	admin     *sql.DB
}

func startInstance(t *testing.T) *instance {
	t.Helper()
	brokertest.Program(t, "mariadbd")
	s := &instance{config: brokers.MariaDBConfig{
		Dir: brokertest.Folder(t, "mariadb"), Port: brokertest.FreePort(t),
		Init: []string{
			"CREATE DATABASE IF NOT EXISTS shop;",
			"CREATE TABLE IF NOT EXISTS shop.other (id INT);", // which a grant needs
			"CREATE USER IF NOT EXISTS admin@'%' IDENTIFIED BY '" + password + "';",
			"GRANT ALL ON *.* TO admin@'%';",
			"CREATE USER IF NOT EXISTS reader@'%' IDENTIFIED BY '" + password + "';",
			"GRANT ALL ON shop.* TO reader@'%';",
			"CREATE USER IF NOT EXISTS nobody@'%' IDENTIFIED BY '" + password + "';",
			"GRANT SELECT ON shop.other TO nobody@'%';",
			"GRANT SELECT ON gone.* TO nobody@'%';",
			"CREATE USER IF NOT EXISTS certified@'%' IDENTIFIED BY '" + password + "' REQUIRE SUBJECT '/CN=certified';",
			"GRANT SELECT ON shop.* TO certified@'%';",
		},
	}}
	s.authority = brokertest.NewAuthority(t, s.config.Dir)
	pair := s.authority.Server(t)
	s.config.CA, s.config.Certificate, s.config.Key = s.authority.CAPath, pair.CertificatePath, pair.KeyPath
	config, err := brokers.MariaDB(t.Context(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = brokertest.Start(t, config)
	admin := driver.NewConfig()
	admin.Net, admin.Addr, admin.User, admin.Passwd, admin.DBName = "tcp", s.config.Address(), "admin", password, "shop"
	connector, err := driver.NewConnector(admin)
	if err != nil {
		t.Fatal(err)
	}
	s.admin = sql.OpenDB(connector)
	t.Cleanup(func() { _ = s.admin.Close() })
	s.exec(t, "CREATE TABLE jobs (id INT AUTO_INCREMENT PRIMARY KEY, state VARCHAR(20) NOT NULL)")
	s.exec(t, "CREATE FUNCTION add_job() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO jobs (state) VALUES ('waiting'); RETURN 1; END")
	return s
}

// exec runs one statement as the administrator.
func (s *instance) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.admin.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// running counts the reader's connections on which a statement runs that holds a
// text, or all of them where the text is empty.
func (s *instance) running(t *testing.T, text string) (n int) {
	t.Helper()
	err := s.admin.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM information_schema.processlist
		WHERE user = 'reader' AND (? = '' OR info LIKE CONCAT('%', ?, '%'))`, text, text).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var keys = brokertest.Secrets{
	"db/user": "reader", "db/password": password, "db/wrong": "wrong-horse-battery", "db/nobody": "nobody", "db/certified": "certified",
}

func credentials(user, password string) v1alpha1.BasicAuth {
	return v1alpha1.BasicAuth{
		Username: v1alpha1.SecretKey{Name: "db", Key: user}, Password: v1alpha1.SecretKey{Name: "db", Key: password},
	}
}

func (s *instance) spec(statement string) v1alpha1.MySQLSource {
	spec := elsewhere(s.config.Address())
	spec.Statement = statement
	return spec
}

func elsewhere(address string) v1alpha1.MySQLSource {
	return v1alpha1.MySQLSource{Address: address, Database: "shop", Statement: "SELECT 1", Credentials: credentials("user", "password")}
}

func build(t *testing.T, b *mysql.Builder, spec v1alpha1.MySQLSource, secrets brokertest.Secrets) (source.Query, error) {
	t.Helper()
	return b.Build(t.Context(), source.Request{
		Namespace: "shop", Source: v1alpha1.Source{MySQL: &spec}, Kinds: []query.Kind{query.Value},
		Secrets: secrets, Timeout: pollTimeout,
	})
}

func openWith(t *testing.T, b *mysql.Builder, spec v1alpha1.MySQLSource, secrets brokertest.Secrets) source.Poller {
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

func open(t *testing.T, spec v1alpha1.MySQLSource) source.Poller {
	t.Helper()
	return openWith(t, mysql.NewBuilder(), spec, keys)
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
