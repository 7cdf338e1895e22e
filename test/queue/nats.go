package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Names of the stream, its subject and its durable consumer.
const (
	Stream   = "ORDERS"
	Subject  = "orders.new"
	Consumer = "workers"
)

// NATS is a JetStream server in this process, with one stream and one durable
// consumer.
type NATS struct {
	dir  string
	port int

	mu     sync.Mutex
	server *server.Server
}

// StartNATS starts a server on a free loopback port with its files in dir and
// makes the stream and the consumer.
func StartNATS(ctx context.Context, dir string) (Broker, error) {
	b := &NATS{dir: dir, port: server.RANDOM_PORT}
	if err := b.Start(); err != nil {
		return nil, err
	}
	if err := b.createStream(ctx); err != nil {
		b.Shutdown()
		return nil, err
	}
	return b, nil
}

// Start starts the server, on the port that it had before.
func (b *NATS) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server != nil {
		return errors.New("the broker runs already")
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "quartet-demo", Host: "127.0.0.1", Port: b.port,
		JetStream: true, StoreDir: b.dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return fmt.Errorf("configure the broker: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return fmt.Errorf("the broker is not ready after %v", startTimeout)
	}
	address, ok := s.Addr().(*net.TCPAddr)
	if !ok {
		s.Shutdown()
		return fmt.Errorf("the broker listens on %v, not on TCP", s.Addr())
	}
	b.server, b.port = s, address.Port
	return nil
}

// Shutdown stops the server as if its machine had gone.
func (b *NATS) Shutdown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return
	}
	b.server.Shutdown()
	b.server.WaitForShutdown()
	b.server = nil
}

// Close ends the server.
func (b *NATS) Close() { b.Shutdown() }

// URL is the server's address. It stays the same over Shutdown and Start.
func (b *NATS) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("nats://127.0.0.1:%d", b.port)
}

// Source is the consumer.
func (b *NATS) Source() v1alpha1.Source {
	return v1alpha1.Source{NATSJetStream: &v1alpha1.NATSJetStreamSource{
		Servers: []string{b.URL()}, Stream: Stream, Consumer: Consumer,
	}}
}

func (b *NATS) dial(name string) (*nats.Conn, error) {
	return nats.Connect(b.URL(), nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond), nats.RetryOnFailedConnect(true))
}

// Credentials are none.
func (b *NATS) Credentials() map[string]string { return nil }

// Connect opens a connection.
func (b *NATS) Connect(name string) (Connection, error) {
	conn, err := b.dial(name)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", name, err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &natsConnection{conn: conn, js: js}, nil
}

func (b *NATS) createStream(ctx context.Context) error {
	conn, err := b.dial("setup")
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: Stream, Subjects: []string{"orders.>"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return fmt.Errorf("create stream %s: %w", Stream, err)
	}
	_, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: Consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: AckWait, MaxAckPending: 10000,
	})
	if err != nil {
		return fmt.Errorf("create consumer %s: %w", Consumer, err)
	}
	return nil
}

type natsConnection struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	consumer jetstream.Consumer
}

func (c *natsConnection) Close() { c.conn.Close() }

// Publish gives the message its body as identity, by which the broker finds out
// that it has it already.
func (c *natsConnection) Publish(ctx context.Context, body string) error {
	_, err := c.js.Publish(ctx, Subject, []byte(body), jetstream.WithMsgID(body))
	return err
}

// Receive asks for the consumer first, until the broker has answered once.
func (c *natsConnection) Receive(ctx context.Context) (Message, error) {
	if c.consumer == nil {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		consumer, err := c.js.Consumer(try, Stream, Consumer)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, fmt.Errorf("find the consumer: %w", err)
		case err != nil:
			return nil, ErrNone
		}
		c.consumer = consumer
	}
	message, err := c.consumer.Next(jetstream.FetchMaxWait(receiveWait))
	if err != nil {
		return nil, ErrNone
	}
	return natsMessage{message}, nil
}

type natsMessage struct{ jetstream.Msg }

func (m natsMessage) Body() string { return string(m.Data()) }

func (m natsMessage) Done(ctx context.Context) error { return m.DoubleAck(ctx) }
