package natsjetstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/natsjetstream"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// pollTimeout is generous: a poll of a healthy server takes a millisecond.
const pollTimeout = 5 * time.Second

// startServer runs a real NATS server with JetStream until the test ends.
func startServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true,
	}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatalf("make a NATS server: %v", err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not come up")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// queue is a stream with one durable consumer, and the means to use it.
type queue struct {
	js       jetstream.JetStream
	consumer jetstream.Consumer
}

func makeQueue(t testing.TB, url string, consumer jetstream.ConsumerConfig, opts ...nats.Option) *queue {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream := jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}
	if _, err := js.CreateOrUpdateStream(t.Context(), stream); err != nil {
		t.Fatalf("make the stream: %v", err)
	}
	consumer.Durable, consumer.AckPolicy = "workers", jetstream.AckExplicitPolicy
	c, err := js.CreateOrUpdateConsumer(t.Context(), "ORDERS", consumer)
	if err != nil {
		t.Fatalf("make the consumer: %v", err)
	}
	return &queue{js: js, consumer: c}
}

func (q *queue) publish(t testing.TB, subject string, n int) {
	t.Helper()
	for i := range n {
		if _, err := q.js.Publish(t.Context(), subject, fmt.Append(nil, i)); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
}

// fetch takes n messages and acknowledges the first acks of them.
func (q *queue) fetch(t testing.TB, n, acks int) {
	t.Helper()
	batch, err := q.consumer.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	taken := 0
	for m := range batch.Messages() {
		if taken < acks {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatalf("acknowledge: %v", err)
			}
		}
		taken++
	}
	if taken != n {
		t.Fatalf("fetched %d messages, want %d (%v)", taken, n, batch.Error())
	}
}

// secrets are the keys of Secrets, "name/key".
type secrets = brokertest.Secrets

func spec(url string) v1alpha1.NATSJetStreamSource {
	return v1alpha1.NATSJetStreamSource{Servers: []string{url}, Stream: "ORDERS", Consumer: "workers"}
}

func build(t testing.TB, spec v1alpha1.NATSJetStreamSource, s secrets, kinds ...query.Kind) (source.Query, error) {
	t.Helper()
	return natsjetstream.NewBuilder().Build(t.Context(), source.Request{
		Source: v1alpha1.Source{NATSJetStream: &spec}, Kinds: kinds, Secrets: s, Timeout: pollTimeout,
	})
}

// open builds and opens a poller that must be buildable.
func open(t testing.TB, spec v1alpha1.NATSJetStreamSource, s secrets, kinds ...query.Kind) source.Poller {
	t.Helper()
	q, err := build(t, spec, s, kinds...)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

func poll(t testing.TB, p source.Poller, timeout time.Duration) (query.Reading, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return p.Poll(ctx)
}

func mustPoll(t testing.TB, p source.Poller) query.Reading {
	t.Helper()
	r, err := poll(t, p, pollTimeout)
	if err != nil {
		t.Fatalf("poll: %v", err)
	}
	return r
}

// wantFailure polls and expects a reason.
func wantFailure(t testing.TB, p source.Poller, timeout time.Duration, want string) string {
	t.Helper()
	r, err := poll(t, p, timeout)
	if err == nil {
		t.Fatalf("the poll succeeded with %+v, want %s", r, want)
	}
	reason, message := source.ReasonOf(err)
	if reason != want {
		t.Fatalf("the poll failed with %s (%s), want %s", reason, message, want)
	}
	return message
}

// authority is a certificate authority and a server's certificate for
// 127.0.0.1, made for one test.
type authority struct {
	pem    string
	server tls.Certificate
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return authority{
		pem:    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		server: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}
}
