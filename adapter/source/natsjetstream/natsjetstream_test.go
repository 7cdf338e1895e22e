package natsjetstream_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/natsjetstream"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// counts are the gauges of a reading that are numbers.
func counts(r query.Reading) map[query.Kind]float64 {
	out := map[query.Kind]float64{}
	for kind, g := range r.Gauges {
		if g.Presence == query.Number {
			out[kind] = g.Value
		}
	}
	return out
}

func TestReadsTheQueue(t *testing.T) {
	s := startServer(t, nil)
	q := makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
	p := open(t, spec(s.ClientURL()), nil)

	before := time.Now()
	empty := mustPoll(t, p)
	want := map[query.Kind]float64{query.Pending: 0, query.AckPending: 0, query.Redelivered: 0}
	if diff := cmp.Diff(want, counts(empty)); diff != "" {
		t.Errorf("an empty queue (-want +got):\n%s", diff)
	}
	if empty.At.Before(before) || empty.At.After(time.Now()) {
		t.Errorf("measured at %s, outside of the poll", empty.At)
	}

	q.publish(t, "orders.new", 10)
	q.fetch(t, 6, 4)
	want = map[query.Kind]float64{query.Pending: 4, query.AckPending: 2, query.Redelivered: 0}
	var full query.Reading
	// The server counts what is pending a moment after it stored it.
	eventually(t, func() error {
		full = mustPoll(t, p)
		if diff := cmp.Diff(want, counts(full)); diff != "" {
			return fmt.Errorf("a queue in use (-want +got):\n%s", diff)
		}
		return nil
	})
	if diff := cmp.Diff([]uint64{6, 6}, full.Delivered); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
	if full.Epoch != empty.Epoch {
		t.Errorf("the epoch changed from %q to %q, and the consumer did not", empty.Epoch, full.Epoch)
	}
}

func TestCountersOfAConsumerMadeAnewHaveAnotherEpoch(t *testing.T) {
	s := startServer(t, nil)
	q := makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
	p := open(t, spec(s.ClientURL()), nil)
	before := mustPoll(t, p)
	if err := q.js.DeleteConsumer(t.Context(), "ORDERS", "workers"); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, "ConsumerNotFound")
	makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
	if after := mustPoll(t, p); after.Epoch == before.Epoch {
		t.Errorf("both consumers have epoch %q", after.Epoch)
	}
}

func TestOldestAge(t *testing.T) {
	s := startServer(t, nil)
	q := makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{FilterSubjects: []string{"orders.a", "orders.b"}})
	p := open(t, spec(s.ClientURL()), nil, query.Depth, query.OldestAge)
	if got := mustPoll(t, p).Gauges[query.OldestAge]; got.Presence != query.Empty {
		t.Errorf("an empty queue has an oldest message: %+v", got)
	}
	began := time.Now()
	q.publish(t, "orders.other", 1)
	q.publish(t, "orders.b", 1)
	q.publish(t, "orders.a", 1)
	q.fetch(t, 1, 1) // the one of orders.b
	eventually(t, func() error {
		gauges := mustPoll(t, p).Gauges
		if pending := gauges[query.Pending]; pending.Value != 1 {
			return fmt.Errorf("pending of the filter's subjects is %+v, want 1", pending)
		}
		if age := gauges[query.OldestAge]; age.Presence != query.Number || age.Value <= 0 || age.Value > time.Since(began).Seconds() {
			return fmt.Errorf("the oldest message is %+v old, published less than %s ago", age, time.Since(began))
		}
		return nil
	})
}

func TestMissingStreamAndConsumer(t *testing.T) {
	s := startServer(t, nil)
	p := open(t, spec(s.ClientURL()), nil)
	if message := wantFailure(t, p, pollTimeout, "StreamNotFound"); !strings.Contains(message, "ORDERS") {
		t.Errorf("the message does not name the stream: %s", message)
	}
	q := makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
	if err := q.js.DeleteConsumer(t.Context(), "ORDERS", "workers"); err != nil {
		t.Fatal(err)
	}
	if message := wantFailure(t, p, pollTimeout, "ConsumerNotFound"); !strings.Contains(message, "workers") {
		t.Errorf("the message does not name the consumer: %s", message)
	}
}

func TestServerWithoutJetStream(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.JetStream = false })
	wantFailure(t, open(t, spec(s.ClientURL()), nil), pollTimeout, "JetStreamNotAvailable")
}

func TestServerThatIsAwayComesBack(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, func(o *server.Options) { o.StoreDir = dir })
	q := makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
	q.publish(t, "orders.new", 3)
	p := open(t, spec(s.ClientURL()), nil)
	var before query.Reading
	eventually(t, func() error {
		if before = mustPoll(t, p); before.Gauges[query.Pending].Value != 3 {
			return fmt.Errorf("pending is %+v, want 3", before.Gauges[query.Pending])
		}
		return nil
	})
	port := s.Addr().(*net.TCPAddr).Port

	s.Shutdown()
	s.WaitForShutdown()
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)

	startServer(t, func(o *server.Options) { o.StoreDir, o.Port = dir, port })
	var after query.Reading
	eventually(t, func() error {
		var err error
		after, err = poll(t, p, pollTimeout)
		return err
	})
	if diff := cmp.Diff(before, after, cmpopts.IgnoreFields(query.Reading{}, "At")); diff != "" {
		t.Errorf("after the restart (-before +after):\n%s", diff)
	}
}

// eventually tries until there is no error, for a server that is coming up.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still failing: %v", err)
		}
	}
}

func TestPollersOfOneServerShareAConnection(t *testing.T) {
	s := startServer(t, nil)
	q := makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
	if _, err := q.js.CreateConsumer(t.Context(), "ORDERS", jetstream.ConsumerConfig{Durable: "others"}); err != nil {
		t.Fatal(err)
	}
	base := s.NumClients()
	builder := natsjetstream.NewBuilder()
	var pollers []source.Poller
	for _, consumer := range []string{"workers", "others"} {
		spec := spec(s.ClientURL())
		spec.Consumer = consumer
		built, err := builder.Build(t.Context(), source.Request{Source: v1alpha1.Source{NATSJetStream: &spec}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := built.Open()
		if err != nil {
			t.Fatal(err)
		}
		mustPoll(t, p)
		pollers = append(pollers, p)
	}
	if got := s.NumClients() - base; got != 1 {
		t.Errorf("two pollers hold %d connections, want 1", got)
	}
	for _, p := range pollers {
		p.Close()
		p.Close() // closing twice is closing once
	}
	eventually(t, func() error {
		if s.NumClients() != base {
			return errors.New("the connection is still there")
		}
		return nil
	})
}

func TestBuildRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*v1alpha1.NATSJetStreamSource)
		secrets secrets
		want    string // within the message
	}{
		"password in a URL": {func(s *v1alpha1.NATSJetStreamSource) { s.Servers = []string{"nats://u:hunter22@h:4222"} }, nil, "holds a user or password"},
		"no URL":            {func(s *v1alpha1.NATSJetStreamSource) { s.Servers = []string{"h:4222"} }, nil, "no URL"},
		"another scheme":    {func(s *v1alpha1.NATSJetStreamSource) { s.Servers = []string{"http://h:80"} }, nil, "must begin with"},
		"no servers":        {func(s *v1alpha1.NATSJetStreamSource) { s.Servers = nil }, nil, "servers is empty"},
		"no Secret": {func(s *v1alpha1.NATSJetStreamSource) {
			s.Credentials = &v1alpha1.NATSCredentials{Token: &v1alpha1.SecretKey{Name: "gone", Key: "token"}}
		}, nil, "Secret gone does not exist"},
		"creds that are none": {func(s *v1alpha1.NATSJetStreamSource) {
			s.Credentials = &v1alpha1.NATSCredentials{CredsFile: &v1alpha1.SecretKey{Name: "nats", Key: "creds"}}
		}, secrets{"nats/creds": "hunter22-hunter22"}, "holds no NKey seed"},
		"seed that is none": {func(s *v1alpha1.NATSJetStreamSource) {
			s.Credentials = &v1alpha1.NATSCredentials{NKeySeed: &v1alpha1.SecretKey{Name: "nats", Key: "seed"}}
		}, secrets{"nats/seed": "hunter22-hunter22"}, "holds no NKey seed"},
		"CA that is none": {func(s *v1alpha1.NATSJetStreamSource) {
			s.TLS = &v1alpha1.TLS{CA: &v1alpha1.SecretKey{Name: "nats", Key: "ca"}}
		}, secrets{"nats/ca": "hunter22-hunter22"}, "holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := spec("nats://h:4222")
			test.change(&spec)
			_, err := build(t, spec, test.secrets)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter22") {
				t.Errorf("the error shows a credential: %v", err)
			}
		})
	}
}

func TestKeysTellQueriesApart(t *testing.T) {
	base := spec("nats://h:4222")
	same, err := build(t, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := build(t, base, nil, query.Depth, query.DrainRate)
	if same.Key() != again.Key() {
		t.Error("one question has two keys")
	}
	withToken := base
	withToken.Credentials = &v1alpha1.NATSCredentials{Token: &v1alpha1.SecretKey{Name: "n", Key: "t"}}
	other, _ := build(t, withToken, secrets{"n/t": "hunter22-hunter22"})
	if same.Key() == other.Key() || same.Subject() != other.Subject() {
		t.Error("other credentials must give another key and the same subject")
	}
	if text := other.String() + other.Key(); strings.Contains(text, "hunter22") {
		t.Errorf("the query shows a credential: %s", text)
	}
	oldest, _ := build(t, base, nil, query.OldestAge)
	if same.Key() == oldest.Key() {
		t.Error("a query that asks for the oldest message has the key of one that does not")
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	p := open(t, spec("nats://"+listener.Addr().String()), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Poll(ctx); err == nil {
		t.Fatal("a poll that was ended succeeded")
	}
}
