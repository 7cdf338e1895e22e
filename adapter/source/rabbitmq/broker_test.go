package rabbitmq_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/rabbitmq"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// pollTimeout is generous: a poll of a healthy broker takes milliseconds.
const pollTimeout = 5 * time.Second

// password of the user reader, who may enter the default virtual host and nothing
// else.
const password = "correct-horse-battery"

// broker is a real broker with what tests need to use it.
type broker struct {
	brokers.RabbitMQ
	server    *brokers.Server
	authority *brokertest.Authority
	client    brokertest.Pair
}

// startBroker runs a broker with plain and secured ports until the test ends.
func startBroker(t *testing.T) *broker {
	t.Helper()
	brokertest.Program(t, "rabbitmq-server")
	settings, err := brokers.NewRabbitMQ(brokertest.Folder(t, "rabbitmq"))
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{RabbitMQ: settings, authority: brokertest.NewAuthority(t, settings.Dir)}
	pair := b.authority.Server(t)
	b.client = b.authority.Client(t, "reader")
	b.TLSPort, b.ManagementTLSPort = brokertest.FreePort(t), brokertest.FreePort(t)
	b.CAPath, b.CertificatePath, b.KeyPath = b.authority.CAPath, pair.CertificatePath, pair.KeyPath
	b.ClientCertificates = true
	config, err := b.Config()
	if err != nil {
		t.Fatal(err)
	}
	b.server = brokertest.Start(t, config)
	b.manage(t, http.MethodPut, "/users/reader", map[string]any{"password": password, "tags": "management"})
	b.manage(t, http.MethodPut, "/permissions/%2F/reader", map[string]any{"configure": "", "write": "", "read": ""})
	b.manage(t, http.MethodPut, "/users/stranger", map[string]any{"password": password, "tags": ""})
	b.manage(t, http.MethodPut, "/vhosts/shop", nil)
	b.manage(t, http.MethodPut, "/permissions/shop/guest", map[string]any{"configure": ".*", "write": ".*", "read": ".*"})
	return b
}

// manage changes the broker through the management API, as guest.
func (b *broker) manage(t testing.TB, method, path string, body any) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		encoded = nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, b.ManagementURL()+"/api"+path, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("guest", "guest")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode >= 300 {
		t.Fatalf("%s %s: status %d: %s", method, path, response.StatusCode, answer)
	}
}

// declare makes a durable queue.
func (b *broker) declare(t testing.TB, vhost, queue, kind string) {
	t.Helper()
	b.manage(t, http.MethodPut, "/queues/"+url.PathEscape(vhost)+"/"+url.PathEscape(queue),
		map[string]any{"durable": true, "arguments": map[string]string{"x-queue-type": kind}})
}

func (b *broker) remove(t testing.TB, queue string) {
	t.Helper()
	b.manage(t, http.MethodDelete, "/queues/%2F/"+url.PathEscape(queue), nil)
}

// channel is a channel of guest's on a connection of its own.
func (b *broker) channel(t testing.TB, vhost string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.DialConfig(b.URL(), amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "guest"}}, Vhost: vhost,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return channel
}

// publish puts n messages of a time into a queue, and waits until they are there.
func publish(t testing.TB, channel *amqp.Channel, queue string, n int, at time.Time) {
	t.Helper()
	for range n {
		confirmed, err := channel.PublishWithDeferredConfirm("", queue, true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("work"), Timestamp: at})
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := confirmed.WaitContext(t.Context()); !ok {
			t.Fatalf("a message was not confirmed: %v", err)
		}
	}
}

// take gets n messages and acknowledges the first acks of them.
func take(t testing.TB, channel *amqp.Channel, queue string, n, acks int) {
	t.Helper()
	for i := range n {
		m, ok, err := channel.Get(queue, false)
		if err != nil || !ok {
			t.Fatalf("no message to take: %v", err)
		}
		if i >= acks {
			continue
		}
		if err := m.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
}

// secrets are reader's.
var secrets = brokertest.Secrets{"rabbitmq/user": "reader", "rabbitmq/password": password, "rabbitmq/other": "wrong-horse-battery"}

func key(name string) v1alpha1.SecretKey { return v1alpha1.SecretKey{Name: "rabbitmq", Key: name} }

// reader are the credentials of the user reader.
func reader() *v1alpha1.BasicAuth {
	return &v1alpha1.BasicAuth{Username: key("user"), Password: key("password")}
}

// management is a queue of the default virtual host over the management API.
func (b *broker) management(queue string) v1alpha1.RabbitMQSource {
	return v1alpha1.RabbitMQSource{URL: b.ManagementURL(), Queue: queue, Credentials: reader()}
}

// amqp is a queue of the default virtual host over AMQP.
func (b *broker) amqp(queue string) v1alpha1.RabbitMQSource {
	return v1alpha1.RabbitMQSource{URL: b.URL(), Queue: queue, Credentials: reader()}
}

func build(t testing.TB, b *rabbitmq.Builder, spec v1alpha1.RabbitMQSource, s brokertest.Secrets) (source.Query, error) {
	t.Helper()
	return b.Build(t.Context(), source.Request{Source: v1alpha1.Source{RabbitMQ: &spec}, Secrets: s, Timeout: pollTimeout})
}

func open(t testing.TB, spec v1alpha1.RabbitMQSource, s brokertest.Secrets) source.Poller {
	t.Helper()
	return openOf(t, rabbitmq.NewBuilder(), spec, s)
}

func openOf(t testing.TB, b *rabbitmq.Builder, spec v1alpha1.RabbitMQSource, s brokertest.Secrets) source.Poller {
	t.Helper()
	q, err := build(t, b, spec, s)
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

// settles polls until the values are as wanted: what the management API answers
// is some seconds old.
func settles(t testing.TB, p source.Poller, want map[query.Kind]float64) query.Reading {
	t.Helper()
	var r query.Reading
	brokertest.Eventually(t, "the queue's values", func() error {
		var err error
		if r, err = poll(t, p, pollTimeout); err != nil {
			return err
		}
		for kind, value := range want {
			if g := r.Gauges[kind]; g.Presence != query.Number || g.Value != value {
				return fmt.Errorf("%s is %+v, want %v", kind, g, value)
			}
		}
		return nil
	})
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

// failsWith polls until the poll fails with a reason.
func failsWith(t testing.TB, p source.Poller, timeout time.Duration, want string) {
	t.Helper()
	brokertest.Eventually(t, "the poll's failure", func() error {
		r, err := poll(t, p, timeout)
		if err == nil {
			return fmt.Errorf("the poll succeeds with %+v, want %s", r, want)
		}
		if reason, message := source.ReasonOf(err); reason != want {
			return fmt.Errorf("the poll fails with %s (%s), want %s", reason, message, want)
		}
		return nil
	})
}
