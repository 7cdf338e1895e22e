package rabbitmq_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// TestRealBroker runs everything that needs a broker on one, since one takes
// seconds to start. What only reads runs at once, since figures come late.
func TestRealBroker(t *testing.T) {
	b := startBroker(t)
	t.Run("reads", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *broker){
			"management":     testManagement,
			"AMQP":           testAMQP,
			"pattern":        testPattern,
			"oldest":         testOldest,
			"missing":        testMissing,
			"virtual host":   testVirtualHost,
			"credentials":    testCredentials,
			"TLS":            testTLS,
			"one connection": testOneConnection,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, b)
			})
		}
	})
	t.Run("frozen", func(t *testing.T) { testFrozen(t, b) })
	t.Run("killed", func(t *testing.T) { testKilled(t, b) })
}

func testManagement(t *testing.T, b *broker) {
	b.declare(t, "/", "orders/new", "classic")
	p := open(t, b.management("orders/new"), secrets)
	// The broker knows the queue before it has counted anything in it.
	countedOrNot(t, p)

	before := time.Now()
	empty := settles(t, p, map[query.Kind]float64{query.Depth: 0, query.Pending: 0, query.AckPending: 0})
	if got := empty.Gauges[query.OldestAge].Presence; got != query.Empty {
		t.Errorf("an empty queue has an oldest message: %v", got)
	}
	if empty.Arrived != nil || empty.Drained != nil {
		t.Errorf("a queue that has counted nothing has counted %v and %v", empty.Arrived, empty.Drained)
	}
	if at := empty.At.Add(10 * time.Second); at.Before(before) || at.After(time.Now()) {
		t.Errorf("measured at %s, which is not 10 s before a poll since %s", empty.At, before)
	}

	channel := b.channel(t, "/")
	publish(t, channel, "orders/new", 10, time.Time{})
	take(t, channel, "orders/new", 6, 4)
	full := settles(t, p, map[query.Kind]float64{query.Depth: 6, query.Pending: 4, query.AckPending: 2})
	// What channels count comes apart from what queues hold.
	brokertest.Eventually(t, "the counters", func() error {
		full = mustPoll(t, p)
		if full.Arrived == nil || full.Drained == nil || *full.Arrived != 10 || *full.Drained != 4 {
			return fmt.Errorf("arrived %v and drained %v, want 10 and 4", full.Arrived, full.Drained)
		}
		return nil
	})
	if full.Epoch == empty.Epoch {
		t.Error("counters that are compared with none have one epoch")
	}
	take(t, channel, "orders/new", 1, 1)
	brokertest.Eventually(t, "one more", func() error {
		after := mustPoll(t, p)
		if after.Epoch != full.Epoch {
			t.Fatal("the epoch changed, and the queue only worked")
		}
		if *after.Drained != 5 {
			return fmt.Errorf("drained %d, want 5", *after.Drained)
		}
		return nil
	})
}

// countedOrNot polls a queue that was just made: unless the broker was quick, it
// has no figures, and no other failure will do.
func countedOrNot(t *testing.T, p source.Poller) {
	t.Helper()
	if _, err := poll(t, p, pollTimeout); err != nil {
		if reason, message := source.ReasonOf(err); reason != "QueueNotCounted" {
			t.Errorf("the poll failed with %s (%s), want QueueNotCounted", reason, message)
		}
	}
}

func testAMQP(t *testing.T, b *broker) {
	b.declare(t, "/", "jobs", "classic")
	channel := b.channel(t, "/")
	publish(t, channel, "jobs", 5, time.Time{})
	take(t, channel, "jobs", 3, 1)
	p := open(t, b.amqp("jobs"), secrets)
	before := time.Now()
	r := mustPoll(t, p)
	// What is unacknowledged is not told, and so there is no depth either.
	if diff := cmp.Diff(map[query.Kind]query.Gauge{query.Pending: query.NumberOf(2)}, r.Gauges); diff != "" {
		t.Errorf("gauges (-want +got):\n%s", diff)
	}
	if r.At.Before(before.Round(0)) || r.At.After(time.Now()) {
		t.Errorf("measured at %s, outside of the poll", r.At)
	}
	if r.Arrived != nil || r.Drained != nil {
		t.Error("AMQP counts nothing")
	}

	take(t, channel, "jobs", 2, 2)
	wantFailure(t, p, pollTimeout, "QueueUncertain")
	classic := b.amqp("jobs")
	classic.QueueType = v1alpha1.QueueTypeClassic
	if g := mustPoll(t, open(t, classic, secrets)).Gauges[query.Pending]; g != query.NumberOf(0) {
		t.Errorf("an empty classic queue has %+v", g)
	}
	if _, err := channel.Consume("jobs", "", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if g := mustPoll(t, p).Gauges[query.Pending]; g != query.NumberOf(0) {
		t.Errorf("an empty queue with a consumer has %+v", g)
	}
}

func testPattern(t *testing.T, b *broker) {
	for _, queue := range []string{"mail.a", "mail.b", "mail.b.dead", "email.c"} {
		b.declare(t, "/", queue, "classic")
	}
	channel := b.channel(t, "/")
	publish(t, channel, "mail.a", 2, time.Time{})
	publish(t, channel, "mail.b", 3, time.Time{})
	publish(t, channel, "mail.b.dead", 7, time.Time{})
	spec := b.management("")
	spec.QueuePattern = `mail\.[a-z]`
	p := open(t, spec, secrets)
	two := settles(t, p, map[query.Kind]float64{query.Depth: 5, query.Pending: 5, query.AckPending: 0})
	brokertest.Eventually(t, "the counters", func() error {
		if two = mustPoll(t, p); two.Arrived == nil || *two.Arrived != 5 {
			return fmt.Errorf("arrived %v, want 5", two.Arrived)
		}
		return nil
	})

	b.declare(t, "/", "mail.c", "classic")
	publish(t, channel, "mail.c", 1, time.Time{})
	// A queue of which nothing is known makes the sum unknown, not smaller.
	countedOrNot(t, p)
	three := settles(t, p, map[query.Kind]float64{query.Depth: 6})
	if three.Epoch == two.Epoch {
		t.Error("sums over other queues have one epoch")
	}
	b.remove(t, "mail.c")
	if fewer := settles(t, p, map[query.Kind]float64{query.Depth: 5}); fewer.Epoch == three.Epoch {
		t.Error("sums over fewer queues have the same epoch")
	}

	spec.QueuePattern = "sms.*"
	for kind, g := range mustPoll(t, open(t, spec, secrets)).Gauges {
		if g.Presence != query.Empty {
			t.Errorf("%s of no queue at all is %+v, want Empty", kind, g)
		}
	}
}

func testOldest(t *testing.T, b *broker) {
	b.declare(t, "/", "dated", "classic")
	b.declare(t, "/", "undated", "classic")
	channel := b.channel(t, "/")
	publish(t, channel, "dated", 1, time.Now().Add(-time.Minute))
	publish(t, channel, "undated", 1, time.Time{})
	p := open(t, b.management("dated"), secrets)
	settles(t, p, map[query.Kind]float64{query.Depth: 1})
	// What the broker counts of a queue comes in parts.
	brokertest.Eventually(t, "the age of the oldest message", func() error {
		if g := mustPoll(t, p).Gauges[query.OldestAge]; g.Presence != query.Number || g.Value < 59 || g.Value > 120 {
			return fmt.Errorf("the oldest message is a minute old and something, and reads %+v", g)
		}
		return nil
	})
	undated := settles(t, open(t, b.management("undated"), secrets), map[query.Kind]float64{query.Depth: 1})
	if g := undated.Gauges[query.OldestAge]; g.Presence != query.Absent {
		t.Errorf("a message without a time has the age %+v", g)
	}
}

func testMissing(t *testing.T, b *broker) {
	for name, spec := range map[string]v1alpha1.RabbitMQSource{"AMQP": b.amqp("later"), "management": b.management("later")} {
		p := open(t, spec, secrets)
		for range 2 { // the broker closes the channel at each
			if message := wantFailure(t, p, pollTimeout, "QueueNotFound"); !strings.Contains(message, "later") {
				t.Errorf("%s: the message does not name the queue: %s", name, message)
			}
		}
	}
	p := open(t, b.amqp("later"), secrets)
	wantFailure(t, p, pollTimeout, "QueueNotFound")
	b.declare(t, "/", "later", "classic")
	publish(t, b.channel(t, "/"), "later", 1, time.Time{})
	if g := mustPoll(t, p).Gauges[query.Pending]; g != query.NumberOf(1) {
		t.Errorf("a queue that was made later has %+v", g)
	}

	for want, spec := range map[string]v1alpha1.RabbitMQSource{
		"VHostNotFound": {URL: b.URL(), Queue: "jobs"}, "QueueNotFound": {URL: b.ManagementURL(), Queue: "jobs"},
	} {
		spec.VHost = "nowhere"
		wantFailure(t, open(t, spec, nil), pollTimeout, want)
	}
	list := v1alpha1.RabbitMQSource{URL: b.ManagementURL(), VHost: "nowhere", QueuePattern: ".*"}
	wantFailure(t, open(t, list, nil), pollTimeout, "VHostNotFound")
}

func testVirtualHost(t *testing.T, b *broker) {
	b.declare(t, "shop", "orders", "quorum")
	publish(t, b.channel(t, "shop"), "orders", 2, time.Time{})
	// Without credentials the user is guest.
	for name, spec := range map[string]v1alpha1.RabbitMQSource{
		"AMQP": {URL: b.URL(), VHost: "shop", Queue: "orders"}, "management": {URL: b.ManagementURL() + "/", VHost: "shop", Queue: "orders"},
	} {
		t.Run(name, func(t *testing.T) {
			settles(t, open(t, spec, nil), map[query.Kind]float64{query.Pending: 2})
		})
	}
}

func testCredentials(t *testing.T, b *broker) {
	b.declare(t, "/", "guarded", "classic")
	publish(t, b.channel(t, "/"), "guarded", 1, time.Time{})
	wrong := &v1alpha1.BasicAuth{Username: key("user"), Password: key("other")}
	stranger := &v1alpha1.BasicAuth{Username: key("stranger"), Password: key("password")}
	known := brokertest.Secrets{"rabbitmq/stranger": "stranger"}
	for k, v := range secrets {
		known[k] = v
	}
	for name, url := range map[string]string{"AMQP": b.URL(), "management": b.ManagementURL()} {
		for user, credentials := range map[string]*v1alpha1.BasicAuth{"wrong password": wrong, "no permission": stranger} {
			t.Run(name+", "+user, func(t *testing.T) {
				spec := v1alpha1.RabbitMQSource{URL: url, Queue: "guarded", Credentials: credentials}
				p := open(t, spec, known)
				// Over AMQP the broker takes three seconds to say no.
				failsWith(t, p, time.Second, source.ReasonUnauthorized)
				message := wantFailure(t, p, time.Second, source.ReasonUnauthorized)
				for _, secret := range known {
					if strings.Contains(message, secret) {
						t.Errorf("the message shows a credential: %s", message)
					}
				}
			})
		}
	}
	hidden := v1alpha1.RabbitMQSource{URL: b.ManagementURL(), VHost: "shop", Queue: "orders", Credentials: reader()}
	wantFailure(t, open(t, hidden, secrets), pollTimeout, source.ReasonUnauthorized)
}

func testTLS(t *testing.T, b *broker) {
	b.declare(t, "/", "sealed", "classic")
	publish(t, b.channel(t, "/"), "sealed", 1, time.Time{})
	other := brokertest.NewAuthority(t, t.TempDir())
	stray := other.Client(t, "reader")
	known := brokertest.Secrets{
		"tls/ca": b.authority.CA, "tls/otherCA": other.CA,
		"tls/cert": b.client.Certificate, "tls/key": b.client.Key, "tls/otherCert": stray.Certificate, "tls/otherKey": stray.Key,
	}
	for k, v := range secrets {
		known[k] = v
	}
	ref := func(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "tls", Key: name} }
	secure := fmt.Sprintf("amqps://127.0.0.1:%d", b.TLSPort)
	web := fmt.Sprintf("https://127.0.0.1:%d", b.ManagementTLSPort)
	for name, test := range map[string]struct {
		url   string
		login *v1alpha1.BasicAuth
		tls   *v1alpha1.TLS
		want  string // a reason, empty for success
	}{
		"AMQP, certificate and password": {secure, reader(), &v1alpha1.TLS{CA: ref("ca"), ClientCertificate: ref("cert"), ClientKey: ref("key")}, ""},
		"AMQP, certificate alone":        {secure, nil, &v1alpha1.TLS{CA: ref("ca"), ClientCertificate: ref("cert"), ClientKey: ref("key")}, ""},
		"AMQP, no certificate":           {secure, reader(), &v1alpha1.TLS{CA: ref("ca")}, source.ReasonTLS},
		"AMQP, a stray certificate":      {secure, reader(), &v1alpha1.TLS{CA: ref("ca"), ClientCertificate: ref("otherCert"), ClientKey: ref("otherKey")}, source.ReasonTLS},
		"AMQP, another authority":        {secure, reader(), &v1alpha1.TLS{CA: ref("otherCA"), ClientCertificate: ref("cert"), ClientKey: ref("key")}, source.ReasonTLS},
		"AMQP, the system's authorities": {secure, reader(), nil, source.ReasonTLS},
		"AMQP, another server name":      {secure, reader(), &v1alpha1.TLS{CA: ref("ca"), ClientCertificate: ref("cert"), ClientKey: ref("key"), ServerName: "elsewhere"}, source.ReasonTLS},
		"management":                     {web, reader(), &v1alpha1.TLS{CA: ref("ca")}, ""},
		"management, not verified":       {web, reader(), &v1alpha1.TLS{InsecureSkipVerify: true}, ""},
		"management, another authority":  {web, reader(), &v1alpha1.TLS{CA: ref("otherCA")}, source.ReasonTLS},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, v1alpha1.RabbitMQSource{URL: test.url, Queue: "sealed", Credentials: test.login, TLS: test.tls}, known)
			if test.want == "" {
				settles(t, p, map[query.Kind]float64{query.Pending: 1})
				return
			}
			message := wantFailure(t, p, pollTimeout, test.want)
			if strings.Contains(message, password) {
				t.Errorf("the message shows a credential: %s", message)
			}
		})
	}
}

// testFrozen stops the broker's process: it takes connections and answers nothing.
func testFrozen(t *testing.T, b *broker) {
	for name, spec := range map[string]v1alpha1.RabbitMQSource{"AMQP": b.amqp("later"), "management": b.management("later")} {
		t.Run(name, func(t *testing.T) {
			connected, fresh := open(t, spec, secrets), open(t, spec, secrets)
			settles(t, connected, map[query.Kind]float64{query.Pending: 1})
			t.Cleanup(func() { _ = b.server.Thaw() })
			if err := b.server.Freeze(); err != nil {
				t.Fatal(err)
			}
			// The signal is on its way.
			failsWith(t, connected, 200*time.Millisecond, source.ReasonTimeout)
			began := time.Now()
			wantFailure(t, connected, 200*time.Millisecond, source.ReasonTimeout)
			wantFailure(t, connected, 200*time.Millisecond, source.ReasonTimeout)
			wantFailure(t, fresh, 200*time.Millisecond, source.ReasonTimeout)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("three polls with a timeout of 200ms took %s", took)
			}
			if err := b.server.Thaw(); err != nil {
				t.Fatal(err)
			}
			settles(t, connected, map[query.Kind]float64{query.Pending: 1})
			settles(t, fresh, map[query.Kind]float64{query.Pending: 1})
		})
	}
}

// testKilled ends the broker as the loss of its machine would, with durable
// messages on it. No poll may ever say that there are none: not while it is away,
// nor while it comes back.
func testKilled(t *testing.T, b *broker) {
	b.declare(t, "/", "voted", "quorum")
	channel := b.channel(t, "/")
	publish(t, channel, "voted", 3, time.Time{})
	pollers := map[string]source.Poller{
		"AMQP, classic": open(t, b.amqp("later"), secrets), "management, classic": open(t, b.management("later"), secrets),
		"AMQP, quorum": open(t, b.amqp("voted"), secrets), "management, quorum": open(t, b.management("voted"), secrets),
	}
	want := map[string]float64{"AMQP, classic": 1, "management, classic": 1, "AMQP, quorum": 3, "management, quorum": 3}
	epochs := map[string]string{}
	for name, p := range pollers {
		epochs[name] = settles(t, p, map[query.Kind]float64{query.Pending: want[name]}).Epoch
	}
	if err := b.server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, p := range pollers {
		wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	}
	restarted := make(chan error, 1)
	go func() { restarted <- b.server.Restart(t.Context()) }()
	for name, p := range pollers {
		var after query.Reading
		brokertest.Eventually(t, name+" after the restart", func() error {
			var err error
			after, err = poll(t, p, pollTimeout)
			return err
		})
		if g := after.Gauges[query.Pending]; g != query.NumberOf(want[name]) {
			t.Errorf("%s: the first reading after the restart has %+v, want %v", name, g, want[name])
		}
		if strings.HasPrefix(name, "management") && after.Epoch == epochs[name] {
			t.Errorf("%s: the counters of another life have the same epoch", name)
		}
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
}
