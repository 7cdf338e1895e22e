package postgresql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/postgresql"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlvalue"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// TestServer asks a real server everything; the tests that kill and freeze it
// come last.
func TestServer(t *testing.T) {
	c := startCluster(t)
	t.Run("values", c.testValues)
	t.Run("times", c.testTimes)
	t.Run("refused statements", c.testRefused)
	t.Run("credentials", c.testCredentials)
	t.Run("TLS", c.testTLS)
	t.Run("connections are few and shared", c.testConnections)
	t.Run("a slow statement is ended on the server", c.testSlow)
	t.Run("listen", c.testListen)
	t.Run("frozen and thawed", c.testFrozen)
	t.Run("killed and restarted", c.testKilled)
}

func (c *cluster) testValues(t *testing.T) {
	c.exec(t, "INSERT INTO jobs (state) SELECT 'waiting' FROM generate_series(1, 3)")
	defer c.exec(t, "TRUNCATE jobs")
	number := query.NumberOf
	for name, test := range map[string]struct {
		statement string
		want      query.Gauge
		reason    string
	}{
		"a count":               {"SELECT count(*) FROM jobs WHERE state = 'waiting'", number(3), ""},
		"an empty queue":        {"SELECT count(*) FROM jobs WHERE state = 'done'", number(0), ""},
		"a final semicolon":     {"SELECT 7;", number(7), ""},
		"a numeric":             {"SELECT 1.25::numeric", number(1.25), ""},
		"a double":              {"SELECT 2.5e-3::float8", number(0.0025), ""},
		"a number as text":      {"SELECT '42'::text", number(42), ""},
		"negative":              {"VALUES (-1)", number(-1), ""},
		"no row":                {"SELECT id FROM jobs WHERE false", query.Gauge{Presence: query.Empty}, ""},
		"NULL":                  {"SELECT max(id) FROM jobs WHERE false", query.Gauge{Presence: query.Empty}, ""},
		"NaN":                   {"SELECT 'NaN'::float8", query.Gauge{Presence: query.NotANumber}, ""},
		"infinity":              {"SELECT 'infinity'::numeric", query.Gauge{Presence: query.NotANumber}, ""},
		"several rows":          {"SELECT id FROM jobs", query.Gauge{}, sqlvalue.ReasonAmbiguous},
		"endless rows":          {"SELECT generate_series(1, 1000000000000)", query.Gauge{}, sqlvalue.ReasonAmbiguous},
		"several columns":       {"SELECT 1, 2", query.Gauge{}, sqlvalue.ReasonAmbiguous},
		"no column":             {"SELECT", query.Gauge{}, source.ReasonBadReply},
		"a text":                {"SELECT 'many'", query.Gauge{}, source.ReasonBadReply},
		"a boolean":             {"SELECT true", query.Gauge{}, source.ReasonBadReply},
		"an interval":           {"SELECT interval '5 minutes'", query.Gauge{}, source.ReasonBadReply},
		"a huge text":           {"SELECT repeat('9', 1000000)", query.Gauge{}, source.ReasonBadReply},
		"a sampled_at of no tz": {"SELECT 1, now()::timestamp AS sampled_at", query.Gauge{}, source.ReasonBadReply},
		"a missing table":       {"SELECT count(*) FROM orders", query.Gauge{}, sqlvalue.ReasonNoTable},
		"a missing column":      {"SELECT waiting FROM jobs", query.Gauge{}, sqlvalue.ReasonStatement},
		"no SQL":                {"SELECT FROM WHERE", query.Gauge{}, sqlvalue.ReasonStatement},
		"a division by zero":    {"SELECT 1 / (count(*) - 3) FROM jobs", query.Gauge{}, sqlvalue.ReasonStatement},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, c.spec(test.statement))
			if test.reason != "" {
				wantFailure(t, p, pollTimeout, test.reason)
				return
			}
			if diff := cmp.Diff(map[query.Kind]query.Gauge{query.Value: test.want}, mustPoll(t, p).Gauges); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a message repeats nothing of a row", func(t *testing.T) {
		p := open(t, c.spec("SELECT 'secret-of-a-row'::integer"))
		if message := wantFailure(t, p, pollTimeout, sqlvalue.ReasonStatement); strings.Contains(message, "secret-of-a-row") || !strings.Contains(message, "22P02") {
			t.Errorf("the message is %q, want the SQLSTATE and nothing of the row", message)
		}
	})
}

func (c *cluster) testTimes(t *testing.T) {
	p := open(t, c.spec("SELECT 1"))
	before := time.Now()
	if r := mustPoll(t, p); r.At.Before(before.Add(-time.Millisecond)) || r.At.After(time.Now()) || r.Skew.Abs() > time.Millisecond {
		t.Errorf("measured at %s with skew %s, polled at %s", r.At, r.Skew, before)
	}
	p = open(t, c.spec("SELECT 1, now() - interval '90 seconds' AS sampled_at"))
	if age := time.Since(mustPoll(t, p).At); age < 90*time.Second || age > 95*time.Second {
		t.Errorf("a value measured 90 s ago is %s old", age)
	}
	p = open(t, c.spec("SELECT 1, now() + interval '30 seconds' AS sampled_at"))
	if r := mustPoll(t, p); time.Since(r.At) < 0 || r.Skew < 29*time.Second {
		t.Errorf("a value of the future was measured at %s with skew %s", r.At, r.Skew)
	}
	wantFailure(t, open(t, c.spec("SELECT 1, now() + interval '1 hour' AS sampled_at")), pollTimeout, source.ReasonBadReply)
}

// testRefused lets statements try to write that the user would be allowed to run.
func (c *cluster) testRefused(t *testing.T) {
	for name, statement := range map[string]string{
		"two statements":        "SELECT 1; DROP TABLE jobs",
		"a way out":             "SELECT 1; COMMIT; DROP TABLE jobs",
		"a CTE that writes":     "WITH gone AS (DELETE FROM jobs RETURNING id) SELECT count(*) FROM gone",
		"a function that wites": "SELECT add_job()",
		"SELECT INTO":           "SELECT 1 AS a INTO other",
		"a lock on rows":        "SELECT 1 FROM jobs FOR UPDATE",
	} {
		t.Run(name, func(t *testing.T) {
			wantFailure(t, open(t, c.spec(statement)), pollTimeout, sqlvalue.ReasonNotReadOnly)
		})
	}
	t.Run("the transaction cannot be made to write", func(t *testing.T) {
		statement := "SELECT set_config('transaction_read_only', 'off', true), add_job() AS sampled_at"
		wantFailure(t, open(t, c.spec(statement)), pollTimeout, sqlvalue.ReasonStatement)
		wantFailure(t, open(t, c.spec("SELECT set_config('transaction_read_only', 'off', true)")), pollTimeout, sqlvalue.ReasonStatement)
	})
	t.Run("settings do not outlive a poll", func(t *testing.T) {
		b := postgresql.NewBuilder()
		mustPoll(t, openWith(t, b, c.spec("SELECT set_config('work_mem', '77', false)::text::integer * 0 FROM (SELECT 1) x WHERE false"), keys))
		wantFailure(t, openWith(t, b, c.spec("SELECT set_config('work_mem', '77kB', false)"), keys), pollTimeout, source.ReasonBadReply)
		wantFailure(t, openWith(t, b, c.spec("SELECT current_setting('work_mem') || ' as ever'"), keys), pollTimeout, source.ReasonBadReply)
		if r := mustPoll(t, openWith(t, b, c.spec("SELECT count(*) FROM pg_settings WHERE name = 'work_mem' AND setting = '77'"), keys)); r.Gauges[query.Value] != query.NumberOf(0) {
			t.Errorf("a setting of one poll holds in the next: %+v", r.Gauges)
		}
	})
	if got := c.exec(t, "SELECT count(*) FROM jobs"); got != "0" {
		t.Errorf("%s rows were written", got)
	}
	for _, statement := range []string{"DROP TABLE jobs", "COPY jobs TO PROGRAM 'cat'", "DO $$ BEGIN END $$", "SET a.b = 1", ""} {
		if _, err := build(t, postgresql.NewBuilder(), c.spec(statement), keys); err == nil || reasonOf(err) != sqlvalue.ReasonNotReadOnly {
			t.Errorf("%q is built with error %v", statement, err)
		}
	}
}

func reasonOf(err error) string {
	reason, _ := source.ReasonOf(err)
	return reason
}

func (c *cluster) testCredentials(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.PostgreSQLSource)
		want   string
	}{
		"wrong password": {func(s *v1alpha1.PostgreSQLSource) { s.Credentials = credentials("user", "wrong") }, source.ReasonUnauthorized},
		"no such user":   {func(s *v1alpha1.PostgreSQLSource) { s.Credentials = credentials("wrong", "password") }, source.ReasonUnauthorized},
		"not allowed":    {func(s *v1alpha1.PostgreSQLSource) { s.Credentials = credentials("nobody", "password") }, source.ReasonUnauthorized},
		"clear text":     {func(s *v1alpha1.PostgreSQLSource) { s.Credentials = credentials("clear", "password") }, source.ReasonUnauthorized},
		"no database":    {func(s *v1alpha1.PostgreSQLSource) { s.Database = "elsewhere" }, sqlvalue.ReasonNoDatabase},
	} {
		t.Run(name, func(t *testing.T) {
			spec := c.spec("SELECT count(*) FROM jobs")
			test.change(&spec)
			wantFailure(t, open(t, spec), pollTimeout, test.want)
		})
	}
}

func (c *cluster) testTLS(t *testing.T) {
	other := brokertest.NewAuthority(t, brokertest.Folder(t, "other-authority"))
	pair, stranger := c.authority.Client(t, "certified"), c.authority.Client(t, "stranger")
	secrets := brokertest.Secrets{
		"tls/ca": c.authority.CA, "tls/other": other.CA, "tls/crt": pair.Certificate, "tls/key": pair.Key,
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
		"clear text, secured":  {"clear", &v1alpha1.TLS{CA: key("ca")}, ""},
		"mutual":               {"certified", &v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("crt"), ClientKey: key("key")}, ""},
		"mutual, of another":   {"certified", &v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("stranger"), ClientKey: key("stranger-key")}, source.ReasonUnauthorized},
		"mutual without one":   {"certified", &v1alpha1.TLS{CA: key("ca")}, source.ReasonUnauthorized},
		"plain where TLS must": {"certified", nil, source.ReasonUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			spec := c.spec("SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
			spec.Credentials, spec.TLS = credentials(test.user, "password"), test.tls
			p := openWith(t, postgresql.NewBuilder(), spec, secrets)
			if test.want != "" {
				wantFailure(t, p, pollTimeout, test.want)
			} else if r := mustPoll(t, p); r.Gauges[query.Value] != query.NumberOf(1) {
				t.Errorf("the connection is not secured: %+v", r.Gauges)
			}
		})
	}
}

func (c *cluster) testConnections(t *testing.T) {
	gone := func() error {
		if n := c.running(t, ""); n != "0" {
			return fmt.Errorf("%s connections are open", n)
		}
		return nil
	}
	brokertest.Eventually(t, "the connections of the tests before are closed", gone)
	b := postgresql.NewBuilder()
	var pollers []source.Poller
	failures := make(chan error)
	for i := range 8 {
		p := openWith(t, b, c.spec(fmt.Sprintf("SELECT %d + 0 * count(*) FROM pg_sleep(0.02)", i)), keys)
		pollers = append(pollers, p)
		go func() { _, err := p.Poll(t.Context()); failures <- err }()
	}
	for range pollers {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if n := c.running(t, ""); n != "2" {
		t.Errorf("%s connections for eight queries of one link, want 2", n)
	}
	for _, p := range pollers {
		p.Close()
		p.Close()
	}
	brokertest.Eventually(t, "the last poller closes the connections", gone)
}

func (c *cluster) testSlow(t *testing.T) {
	t.Run("by its own limit", func(t *testing.T) {
		p := open(t, c.spec("SELECT count(*) FROM pg_sleep(60) AS slow_one"))
		began := time.Now()
		message := wantFailure(t, p, 2*time.Second, source.ReasonTimeout)
		if took := time.Since(began); took > 5*time.Second || !strings.Contains(message, "57014") {
			t.Errorf("after %s: %s", took, message)
		}
		if n := c.running(t, "slow_one"); n != "0" {
			t.Errorf("%s statements run on", n)
		}
	})
	t.Run("when the poll is given up", func(t *testing.T) {
		p := open(t, c.spec("SELECT count(*) FROM pg_sleep(60) AS slow_two"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { _, err := p.Poll(ctx); done <- err }()
		brokertest.Eventually(t, "the statement runs", func() error {
			if c.running(t, "slow_two") != "1" {
				return errors.New("not yet")
			}
			return nil
		})
		cancel()
		if err := <-done; err == nil {
			t.Error("a poll that was given up succeeded")
		}
		brokertest.Eventually(t, "the statement is ended", func() error {
			if n := c.running(t, "slow_two"); n != "0" {
				return fmt.Errorf("%s run on", n)
			}
			return nil
		})
	})
}

func (c *cluster) testListen(t *testing.T) {
	spec := c.spec("SELECT count(*) FROM jobs")
	if _, pushes := open(t, spec).(source.Pusher); pushes {
		t.Error("without a channel the poller says that it is told of changes")
	}
	spec.Listen = `Jobs "new"`
	p, pushes := open(t, spec).(source.Pusher)
	if !pushes {
		t.Fatal("with a channel the poller is no Pusher")
	}
	mustPoll(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	changed, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- p.Watch(ctx, func() { changed <- struct{}{} }) }()
	<-changed // it listens
	c.exec(t, `INSERT INTO jobs (state) VALUES ('waiting'); NOTIFY "Jobs ""new""", 'x'`)
	<-changed
	if r := mustPoll(t, p); r.Gauges[query.Value] != query.NumberOf(1) {
		t.Errorf("after the notification the value is %+v", r.Gauges)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a watch that was ended gives %v", err)
	}
	c.exec(t, "TRUNCATE jobs")

	go func() { ended <- p.Watch(t.Context(), func() { changed <- struct{}{} }) }()
	<-changed
	c.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'quartet-metrics-adapter' AND query LIKE 'LISTEN%'")
	if err := <-ended; reasonOf(err) != source.ReasonUnreachable {
		t.Errorf("a watch whose connection was ended gives %v", err)
	}
}

func (c *cluster) testFrozen(t *testing.T) {
	p := open(t, c.spec("SELECT pg_backend_pid()"))
	backend := int(mustPoll(t, p).Gauges[query.Value].Value)
	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	// Each connection has a process of its own in the server.
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(backend, s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	for range 2 { // with a connection, and without one
		began := time.Now()
		wantFailure(t, p, 300*time.Millisecond, source.ReasonTimeout)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a poll with a timeout of 300ms took %s", took)
		}
	}
	signal(syscall.SIGCONT)
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the thawed server is read", func() error { _, err := poll(t, p, time.Second); return err })
}

func (c *cluster) testKilled(t *testing.T) {
	p := open(t, c.spec("SELECT 1"))
	mustPoll(t, p)
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	// The process of the connection may serve one more statement.
	brokertest.Eventually(t, "the server is away", func() error {
		if _, err := poll(t, p, pollTimeout); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	c.restart(t)
	mustPoll(t, p)
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	c.restart(t)
	mustPoll(t, p) // over the connection that was lost meanwhile
}

// restart runs the killed server again. The processes of its connections take a
// moment to see that it is gone, and no new one starts before.
func (c *cluster) restart(t *testing.T) {
	t.Helper()
	brokertest.Eventually(t, "the server starts again", func() error { return c.Restart(t.Context()) })
}
