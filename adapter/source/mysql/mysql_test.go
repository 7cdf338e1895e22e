package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/mysql"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// TestServer asks a real server everything; the tests that kill and freeze it
// come last.
func TestServer(t *testing.T) {
	s := startInstance(t)
	t.Run("values", s.testValues)
	t.Run("times", s.testTimes)
	t.Run("refused statements", s.testRefused)
	t.Run("credentials", s.testCredentials)
	t.Run("TLS", s.testTLS)
	t.Run("connections are few and shared", s.testConnections)
	t.Run("a slow statement is ended on the server", s.testSlow)
	t.Run("frozen and thawed", s.testFrozen)
	t.Run("killed and restarted", s.testKilled)
}

func (s *instance) testValues(t *testing.T) {
	s.exec(t, "INSERT INTO jobs (state) VALUES ('waiting'), ('waiting'), ('waiting')")
	defer s.exec(t, "TRUNCATE jobs")
	number := query.NumberOf
	for name, test := range map[string]struct {
		statement string
		want      query.Gauge
		reason    string
	}{
		"a count":            {"SELECT COUNT(*) FROM jobs WHERE state = 'waiting'", number(3), ""},
		"an empty queue":     {"SELECT COUNT(*) FROM jobs WHERE state = 'done'", number(0), ""},
		"a final semicolon":  {"SELECT 7;", number(7), ""},
		"a decimal":          {"SELECT CAST(1.25 AS DECIMAL(10, 2))", number(1.25), ""},
		"a double":           {"SELECT 2.5e-3", number(0.0025), ""},
		"a big number":       {"SELECT 18446744073709551615", number(18446744073709551615), ""},
		"a number as text":   {"SELECT '42'", number(42), ""},
		"negative":           {"VALUES (-1)", number(-1), ""},
		"a condition":        {"SELECT 2 > 1", number(1), ""},
		"no row":             {"SELECT id FROM jobs WHERE FALSE", query.Gauge{Presence: query.Empty}, ""},
		"NULL":               {"SELECT MAX(id) FROM jobs WHERE FALSE", query.Gauge{Presence: query.Empty}, ""},
		"a division by zero": {"SELECT 1 / 0", query.Gauge{Presence: query.Empty}, ""}, // NULL, as the server has it
		"NaN as text":        {"SELECT 'NaN'", query.Gauge{Presence: query.NotANumber}, ""},
		"several rows":       {"SELECT id FROM jobs", query.Gauge{}, sqlvalue.ReasonAmbiguous},
		"a million rows":     {"SELECT seq FROM seq_1_to_1000000", query.Gauge{}, sqlvalue.ReasonAmbiguous},
		"several columns":    {"SELECT 1, 2", query.Gauge{}, sqlvalue.ReasonAmbiguous},
		"a text":             {"SELECT 'many'", query.Gauge{}, source.ReasonBadReply},
		"a time span":        {"SELECT TIMEDIFF('10:00:00', '09:00:00')", query.Gauge{}, source.ReasonBadReply},
		"a huge text":        {"SELECT REPEAT('9', 1000000)", query.Gauge{}, source.ReasonBadReply},
		"a sampled_at text":  {"SELECT 1, '2026-03-01 12:00:00' AS sampled_at", query.Gauge{}, source.ReasonBadReply},
		"a missing table":    {"SELECT COUNT(*) FROM orders", query.Gauge{}, sqlvalue.ReasonNoTable},
		"a missing column":   {"SELECT waiting FROM jobs", query.Gauge{}, sqlvalue.ReasonStatement},
		"no SQL":             {"SELECT FROM WHERE", query.Gauge{}, sqlvalue.ReasonStatement},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, s.spec(test.statement))
			if test.reason != "" {
				wantFailure(t, p, pollTimeout, test.reason)
				return
			}
			if diff := cmp.Diff(map[query.Kind]query.Gauge{query.Value: test.want}, mustPoll(t, p).Gauges); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a message repeats nothing of the statement", func(t *testing.T) {
		p := open(t, s.spec("SELECT EXTRACTVALUE('<a/>', CONCAT('~secret-of-a-row', 1))"))
		if message := wantFailure(t, p, pollTimeout, sqlvalue.ReasonStatement); strings.Contains(message, "secret-of-a-row") || !strings.Contains(message, "error 1105") {
			t.Errorf("the message is %q, want the error's number and nothing of the statement", message)
		}
	})
}

func (s *instance) testTimes(t *testing.T) {
	p := open(t, s.spec("SELECT 1"))
	before := time.Now()
	if r := mustPoll(t, p); r.At.Before(before.Add(-time.Millisecond)) || r.At.After(time.Now()) || r.Skew.Abs() > time.Millisecond {
		t.Errorf("measured at %s with skew %s, polled at %s", r.At, r.Skew, before)
	}
	p = open(t, s.spec("SELECT 1, NOW(6) - INTERVAL 90 SECOND AS sampled_at"))
	if age := time.Since(mustPoll(t, p).At); age < 90*time.Second || age > 95*time.Second {
		t.Errorf("a value measured 90 s ago is %s old", age)
	}
	p = open(t, s.spec("SELECT 1, NOW(6) + INTERVAL 30 SECOND AS sampled_at"))
	if r := mustPoll(t, p); time.Since(r.At) < 0 || r.Skew < 29*time.Second {
		t.Errorf("a value of the future was measured at %s with skew %s", r.At, r.Skew)
	}
	wantFailure(t, open(t, s.spec("SELECT 1, NOW() + INTERVAL 1 HOUR AS sampled_at")), pollTimeout, source.ReasonBadReply)
}

// testRefused lets statements try to write that the user would be allowed to run.
func (s *instance) testRefused(t *testing.T) {
	for name, statement := range map[string]string{
		"two statements":         "SELECT 1; DROP TABLE jobs",
		"a way out":              "SELECT 1; COMMIT; DROP TABLE jobs",
		"a function that writes": "SELECT add_job()",
	} {
		t.Run(name, func(t *testing.T) {
			wantFailure(t, open(t, s.spec(statement)), pollTimeout, sqlvalue.ReasonNotReadOnly)
		})
	}
	t.Run("a comment that is run", func(t *testing.T) {
		wantFailure(t, open(t, s.spec("SELECT 1 /*! ; DROP TABLE jobs */")), pollTimeout, sqlvalue.ReasonNotReadOnly)
		wantFailure(t, open(t, s.spec("WITH x AS (SELECT 1) DELETE FROM jobs")), pollTimeout, sqlvalue.ReasonStatement)
	})
	var n int
	if err := s.admin.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM jobs").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows were written (%v)", n, err)
	}
	for _, statement := range []string{"DROP TABLE jobs", "/*! INSERT INTO jobs (state) */ SELECT 'x'", "SET @a = 1", "CALL x()", ""} {
		_, err := build(t, mysql.NewBuilder(), s.spec(statement), keys)
		if reason, _ := source.ReasonOf(err); err == nil || reason != sqlvalue.ReasonNotReadOnly {
			t.Errorf("%q is built with error %v", statement, err)
		}
	}
}

func (s *instance) testCredentials(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.MySQLSource)
		want   string
	}{
		"wrong password": {func(s *v1alpha1.MySQLSource) { s.Credentials = credentials("user", "wrong") }, source.ReasonUnauthorized},
		"no such user":   {func(s *v1alpha1.MySQLSource) { s.Credentials = credentials("wrong", "password") }, source.ReasonUnauthorized},
		"not allowed":    {func(s *v1alpha1.MySQLSource) { s.Credentials = credentials("nobody", "password") }, source.ReasonUnauthorized},
		"not its own":    {func(s *v1alpha1.MySQLSource) { s.Database = "elsewhere" }, source.ReasonUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.spec("SELECT COUNT(*) FROM jobs")
			test.change(&spec)
			wantFailure(t, open(t, spec), pollTimeout, test.want)
		})
	}
	spec := s.spec("SELECT 1")
	spec.Credentials, spec.Database = credentials("nobody", "password"), "gone"
	wantFailure(t, open(t, spec), pollTimeout, sqlvalue.ReasonNoDatabase)
}

func (s *instance) testTLS(t *testing.T) {
	other := brokertest.NewAuthority(t, brokertest.Folder(t, "other-authority"))
	pair, stranger := s.authority.Client(t, "certified"), s.authority.Client(t, "stranger")
	secrets := brokertest.Secrets{
		"tls/ca": s.authority.CA, "tls/other": other.CA, "tls/crt": pair.Certificate, "tls/key": pair.Key,
		"tls/stranger": stranger.Certificate, "tls/stranger-key": stranger.Key,
	}
	for k, v := range keys {
		secrets[k] = v
	}
	key := func(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "tls", Key: name} }
	for name, test := range map[string]struct {
		user string
		tls  *v1alpha1.TLS
		want string
	}{
		"our authority":        {"user", &v1alpha1.TLS{CA: key("ca")}, ""},
		"another authority":    {"user", &v1alpha1.TLS{CA: key("other")}, source.ReasonTLS},
		"the system's":         {"user", &v1alpha1.TLS{}, source.ReasonTLS},
		"another server name":  {"user", &v1alpha1.TLS{CA: key("ca"), ServerName: "elsewhere"}, source.ReasonTLS},
		"not verified":         {"user", &v1alpha1.TLS{InsecureSkipVerify: true}, ""},
		"mutual":               {"certified", &v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("crt"), ClientKey: key("key")}, ""},
		"mutual, of another":   {"certified", &v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("stranger"), ClientKey: key("stranger-key")}, source.ReasonUnauthorized},
		"mutual without one":   {"certified", &v1alpha1.TLS{CA: key("ca")}, source.ReasonUnauthorized},
		"plain where TLS must": {"certified", nil, source.ReasonUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.spec("SELECT VARIABLE_VALUE <> '' FROM information_schema.session_status WHERE VARIABLE_NAME = 'SSL_CIPHER'")
			spec.Credentials, spec.TLS = credentials(test.user, "password"), test.tls
			p := openWith(t, mysql.NewBuilder(), spec, secrets)
			if test.want != "" {
				wantFailure(t, p, pollTimeout, test.want)
			} else if r := mustPoll(t, p); r.Gauges[query.Value] != query.NumberOf(1) {
				t.Errorf("the connection is not secured: %+v", r.Gauges)
			}
		})
	}
}

// eventually waits until so many statements run that hold a text.
func (s *instance) eventually(t *testing.T, what string, text string, want int) {
	t.Helper()
	brokertest.Eventually(t, what, func() error {
		if n := s.running(t, text); n != want {
			return fmt.Errorf("%d, not %d", n, want)
		}
		return nil
	})
}

func (s *instance) testConnections(t *testing.T) {
	s.eventually(t, "the connections of the tests before are closed", "", 0)
	b := mysql.NewBuilder()
	var pollers []source.Poller
	failures := make(chan error)
	for i := range 8 {
		p := openWith(t, b, s.spec(fmt.Sprintf("SELECT %d + SLEEP(0.02)", i)), keys)
		pollers = append(pollers, p)
		go func() { _, err := p.Poll(t.Context()); failures <- err }()
	}
	for range pollers {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if n := s.running(t, ""); n != 2 {
		t.Errorf("%d connections for eight queries of one link, want 2", n)
	}
	for _, p := range pollers {
		p.Close()
		p.Close()
	}
	s.eventually(t, "the last poller closes the connections", "", 0)
}

func (s *instance) testSlow(t *testing.T) {
	t.Run("by its own limit", func(t *testing.T) {
		p := open(t, s.spec("SELECT COUNT(*) + SLEEP(60) AS slow_one FROM jobs"))
		began := time.Now()
		message := wantFailure(t, p, 2*time.Second, source.ReasonTimeout)
		if took := time.Since(began); took > 5*time.Second || !strings.Contains(message, "1969") {
			t.Errorf("after %s: %s", took, message)
		}
		if n := s.running(t, "slow_one"); n != 0 {
			t.Errorf("%d statements run on", n)
		}
	})
	t.Run("when the poll is given up", func(t *testing.T) {
		p := open(t, s.spec("SELECT SLEEP(60) AS slow_two"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { _, err := p.Poll(ctx); done <- err }()
		s.eventually(t, "the statement runs", "slow_two", 1)
		cancel()
		if err := <-done; err == nil {
			t.Error("a poll that was given up succeeded")
		}
		s.eventually(t, "the statement is ended", "slow_two", 0)
	})
}

func (s *instance) testFrozen(t *testing.T) {
	p := open(t, s.spec("SELECT 1"))
	mustPoll(t, p)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	// A process with many threads takes a moment to stop.
	brokertest.Eventually(t, "the server is frozen", func() error {
		if _, err := poll(t, p, 300*time.Millisecond); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	for range 2 {
		began := time.Now()
		wantFailure(t, p, 300*time.Millisecond, source.ReasonTimeout)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a poll with a timeout of 300ms took %s", took)
		}
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the thawed server is read", func() error { _, err := poll(t, p, time.Second); return err })
}

func (s *instance) testKilled(t *testing.T) {
	p := open(t, s.spec("SELECT 1"))
	mustPoll(t, p)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPoll(t, p)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPoll(t, p) // over the connection that was lost meanwhile
}
