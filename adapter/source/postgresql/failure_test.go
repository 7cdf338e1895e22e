package postgresql_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/postgresql"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// answering listens and answers every connection with the same bytes.
func answering(t *testing.T, reply string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024)) // what a client begins with
			_, _ = conn.Write([]byte(reply))
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func elsewhere(address string) v1alpha1.PostgreSQLSource {
	return v1alpha1.PostgreSQLSource{Address: address, Database: "shop", Statement: "SELECT 1", Credentials: credentials("user", "password")}
}

func TestGarbage(t *testing.T) {
	ok := "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I" // logged in, ready
	for name, test := range map[string]struct {
		reply string
		tls   *v1alpha1.TLS
		want  string
	}{
		"another protocol":          {"HTTP/1.1 400 Bad Request\r\n\r\n", nil, source.ReasonBadReply},
		"nothing":                   {"", nil, source.ReasonUnreachable},
		"half a message":            {"R\x00\x00", nil, source.ReasonUnreachable},
		"a message of no length":    {"R\x00\x00\x00\x00", nil, source.ReasonBadReply},
		"a message of any length":   {"R\x7f\xff\xff\xff", nil, source.ReasonBadReply},
		"a question for a password": {"R\x00\x00\x00\x08\x00\x00\x00\x03", nil, source.ReasonUnauthorized},
		"an unknown way to log in":  {"R\x00\x00\x00\x08\x00\x00\x00\x63", nil, source.ReasonBadReply},
		"an error without a code":   {"E\x00\x00\x00\x05\x00", nil, sqlvalue.ReasonStatement},
		"a login and then nothing":  {ok, nil, source.ReasonUnreachable},
		"a login and then garbage":  {ok + "Z\x00\x00\x00\x05I\xff\xff\xff\xff\xff\xff", nil, source.ReasonBadReply},
		"no TLS":                    {"N", &v1alpha1.TLS{InsecureSkipVerify: true}, source.ReasonTLS},
		"TLS that is none":          {"Shello, hello, hello", &v1alpha1.TLS{InsecureSkipVerify: true}, source.ReasonTLS},
	} {
		t.Run(name, func(t *testing.T) {
			spec := elsewhere(answering(t, test.reply))
			spec.TLS = test.tls
			wantFailure(t, open(t, spec), pollTimeout, test.want)
		})
	}
}

func TestUnusableObjects(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.PostgreSQLSource)
		want   string
	}{
		"no port":       {func(s *v1alpha1.PostgreSQLSource) { s.Address = "db" }, "no host:port"},
		"a socket":      {func(s *v1alpha1.PostgreSQLSource) { s.Address = "/run/postgresql:5432" }, "no host:port"},
		"port 0":        {func(s *v1alpha1.PostgreSQLSource) { s.Address = "db:0" }, "no port"},
		"no Secret":     {func(s *v1alpha1.PostgreSQLSource) { s.Credentials.Password.Name = "other" }, "Secret other does not exist"},
		"a CA of none":  {func(s *v1alpha1.PostgreSQLSource) { s.TLS = &v1alpha1.TLS{CA: &s.Credentials.Password} }, "holds no PEM certificate"},
		"no read":       {func(s *v1alpha1.PostgreSQLSource) { s.Statement = "VACUUM" }, "must begin with"},
		"several hosts": {func(s *v1alpha1.PostgreSQLSource) { s.Address = "a:1,b:2" }, "no host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := elsewhere("db:5432")
			test.change(&spec)
			_, err := build(t, postgresql.NewBuilder(), spec, keys)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
		})
	}
	b := postgresql.NewBuilder()
	if _, err := b.Build(t.Context(), source.Request{Source: v1alpha1.Source{}}); err == nil {
		t.Error("a source of another kind was built")
	}
	if _, ours := b.Describe(v1alpha1.Source{}); ours {
		t.Error("a source of another kind was described")
	}
}

// TestServerThatGoesOnForEver tells of itself without an end, which the client would
// keep.
func TestServerThatGoesOnForEver(t *testing.T) {
	told := "R\x00\x00\x00\x08\x00\x00\x00\x00"
	for i := range 40 {
		told += "S\x00\x00\x80\x00" + fmt.Sprintf("%03d", i) + "\x00" + strings.Repeat("x", 0x8000-4-5) + "\x00"
	}
	message := wantFailure(t, open(t, elsewhere(answering(t, told))), pollTimeout, source.ReasonBadReply)
	if !strings.Contains(message, "256 KiB") {
		t.Error(message)
	}
}

// TestEnvironmentCountsForNothing sets what the client's library would heed.
func TestEnvironmentCountsForNothing(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "elsewhere,other", "PGPORT": "1,2", "PGUSER": "someone", "PGPASSWORD": "x", "PGSSLMODE": "prefer",
		"PGOPTIONS": "-c a=b", "PGTARGETSESSIONATTRS": "read-write", "PGREQUIREAUTH": "none", "PGDATABASE": "x",
	} {
		t.Setenv(name, value)
	}
	wantFailure(t, open(t, elsewhere(answering(t, "R\x00\x00\x00\x08\x00\x00\x00\x03"))), pollTimeout, source.ReasonUnauthorized)
}

func TestKeysTellQueriesApart(t *testing.T) {
	b := postgresql.NewBuilder()
	made := func(change func(*v1alpha1.PostgreSQLSource)) source.Query {
		spec := elsewhere("db:5432")
		change(&spec)
		q, err := build(t, b, spec, keys)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	base := made(func(*v1alpha1.PostgreSQLSource) {})
	if again := made(func(*v1alpha1.PostgreSQLSource) {}); again.Key() != base.Key() {
		t.Error("one question has two keys")
	}
	for name, test := range map[string]struct {
		change      func(*v1alpha1.PostgreSQLSource)
		sameSubject bool
	}{
		"statement": {func(s *v1alpha1.PostgreSQLSource) { s.Statement = "SELECT 2" }, false},
		"database":  {func(s *v1alpha1.PostgreSQLSource) { s.Database = "other" }, false},
		"address":   {func(s *v1alpha1.PostgreSQLSource) { s.Address = "db:5433" }, false},
		"password":  {func(s *v1alpha1.PostgreSQLSource) { s.Credentials = credentials("user", "wrong") }, true},
		"user":      {func(s *v1alpha1.PostgreSQLSource) { s.Credentials = credentials("nobody", "password") }, true},
		"TLS":       {func(s *v1alpha1.PostgreSQLSource) { s.TLS = &v1alpha1.TLS{} }, true},
		"channel":   {func(s *v1alpha1.PostgreSQLSource) { s.Listen = "jobs" }, true},
	} {
		if q := made(test.change); q.Key() == base.Key() || (q.Subject() == base.Subject()) != test.sameSubject {
			t.Errorf("another %s: the same key is %t, the same subject %t", name, q.Key() == base.Key(), q.Subject() == base.Subject())
		}
	}
	if got := base.String(); got != "postgreSQL db:5432/shop" || base.Kind() != b.Kind() {
		t.Errorf("it is called %q, of kind %q", got, base.Kind())
	}
	if text, _ := b.Describe(v1alpha1.Source{PostgreSQL: &v1alpha1.PostgreSQLSource{Address: "db:5432", Database: "shop", Statement: "SELECT 'x'"}}); text != "postgreSQL db:5432/shop" {
		t.Errorf("it is described as %q", text)
	}
}
