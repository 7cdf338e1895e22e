package mysql_test

import (
	"net"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/mysql"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// greeting listens and greets every connection with the same bytes; the server
// speaks first in this protocol.
func greeting(t *testing.T, reply string) string {
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
			_, _ = conn.Write([]byte(reply))
			if strings.Contains(reply, "8.0.0") {
				_, _ = conn.Read(make([]byte, 1024)) // what the client answers
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// hello is the greeting of a server that knows the given way to log in, and no
// TLS.
func hello(plugin string) string {
	body := "\x0a8.0.0\x00\x01\x00\x00\x00abcdefgh\x00\x00\x82\x21\x02\x00\x08\x00\x15" + strings.Repeat("\x00", 10) + "ijklmnopqrst\x00" + plugin + "\x00"
	return string([]byte{byte(len(body)), 0, 0, 0}) + body
}

func TestGarbage(t *testing.T) {
	for name, test := range map[string]struct {
		reply string
		tls   *v1alpha1.TLS
		want  string
	}{
		"a long message, cut":    {"HTTP/1.1 400 Bad Request\r\n\r\n", nil, source.ReasonUnreachable},
		"nothing":                {"", nil, source.ReasonUnreachable},
		"half a message":         {"\x10\x00", nil, source.ReasonUnreachable},
		"an old protocol":        {"\x05\x00\x00\x00\x099.9\x00", nil, source.ReasonBadReply},
		"a greeting of nothing":  {"\x01\x00\x00\x00\x0a", nil, source.ReasonBadReply},
		"an error for all":       {"\x0b\x00\x00\x00\xff\x10\x04Too many", nil, source.ReasonUnreachable},
		"no TLS":                 {hello("mysql_native_password"), &v1alpha1.TLS{InsecureSkipVerify: true}, source.ReasonTLS},
		"a greeting and silence": {hello("mysql_native_password"), nil, source.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			spec := elsewhere(greeting(t, test.reply))
			spec.TLS = test.tls
			wantFailure(t, open(t, spec), pollTimeout, test.want)
		})
	}
}

// TestNoPasswordInClearText asks for one, as anyone who answers in the server's
// place could, and looks at what comes.
func TestNoPasswordInClearText(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	heard := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte(hello("mysql_native_password")))
		buffer := make([]byte, 4096)
		n, _ := conn.Read(buffer)
		_, _ = conn.Write([]byte("\x16\x00\x00\x02\xfemysql_clear_password\x00"))
		m, _ := conn.Read(buffer[n:])
		heard <- string(buffer[:n+m])
		_ = conn.Close()
	}()
	wantFailure(t, open(t, elsewhere(listener.Addr().String())), pollTimeout, source.ReasonUnauthorized)
	if text := <-heard; strings.Contains(text, password) {
		t.Error("the password was sent in clear text")
	}
}

func TestUnusableObjects(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.MySQLSource)
		want   string
	}{
		"no port":      {func(s *v1alpha1.MySQLSource) { s.Address = "db" }, "no host:port"},
		"port 0":       {func(s *v1alpha1.MySQLSource) { s.Address = "db:0" }, "no port"},
		"no Secret":    {func(s *v1alpha1.MySQLSource) { s.Credentials.Password.Name = "other" }, "Secret other does not exist"},
		"a CA of none": {func(s *v1alpha1.MySQLSource) { s.TLS = &v1alpha1.TLS{CA: &s.Credentials.Password} }, "holds no PEM certificate"},
		"no read":      {func(s *v1alpha1.MySQLSource) { s.Statement = "LOCK TABLES jobs WRITE" }, "must begin with"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := elsewhere("db:3306")
			test.change(&spec)
			_, err := build(t, mysql.NewBuilder(), spec, keys)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
		})
	}
	b := mysql.NewBuilder()
	if _, err := b.Build(t.Context(), source.Request{Source: v1alpha1.Source{}}); err == nil {
		t.Error("a source of another kind was built")
	}
	if _, ours := b.Describe(v1alpha1.Source{}); ours {
		t.Error("a source of another kind was described")
	}
}

func TestKeysTellQueriesApart(t *testing.T) {
	b := mysql.NewBuilder()
	made := func(change func(*v1alpha1.MySQLSource)) source.Query {
		spec := elsewhere("db:3306")
		change(&spec)
		q, err := build(t, b, spec, keys)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	base := made(func(*v1alpha1.MySQLSource) {})
	if again := made(func(*v1alpha1.MySQLSource) {}); again.Key() != base.Key() {
		t.Error("one question has two keys")
	}
	for name, test := range map[string]struct {
		change      func(*v1alpha1.MySQLSource)
		sameSubject bool
	}{
		"statement": {func(s *v1alpha1.MySQLSource) { s.Statement = "SELECT 2" }, false},
		"database":  {func(s *v1alpha1.MySQLSource) { s.Database = "other" }, false},
		"address":   {func(s *v1alpha1.MySQLSource) { s.Address = "db:3307" }, false},
		"password":  {func(s *v1alpha1.MySQLSource) { s.Credentials = credentials("user", "wrong") }, true},
		"user":      {func(s *v1alpha1.MySQLSource) { s.Credentials = credentials("nobody", "password") }, true},
		"TLS":       {func(s *v1alpha1.MySQLSource) { s.TLS = &v1alpha1.TLS{} }, true},
	} {
		if q := made(test.change); q.Key() == base.Key() || (q.Subject() == base.Subject()) != test.sameSubject {
			t.Errorf("another %s: the same key is %t, the same subject %t", name, q.Key() == base.Key(), q.Subject() == base.Subject())
		}
	}
	if got := base.String(); got != "mySQL db:3306/shop" || base.Kind() != b.Kind() {
		t.Errorf("it is called %q, of kind %q", got, base.Kind())
	}
}
