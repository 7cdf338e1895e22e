// Package queue is the real queue of the demo and the end-to-end tests: a NATS
// JetStream server in the process, a producer whose rate follows a curve, and a
// tally of every message. It is no part of the product and knows nothing of
// Kubernetes.
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
)

// Names of the stream, its subject and its durable consumer.
const (
	Stream   = "ORDERS"
	Subject  = "orders.new"
	Consumer = "workers"
)

// AckWait is how long the server waits for an acknowledgement before it gives a
// message to another worker.
const AckWait = 5 * time.Second

const startTimeout = 15 * time.Second

// Broker is a JetStream server with one stream and one durable consumer. Its
// messages are on disk and survive Shutdown.
type Broker struct {
	dir  string
	port int

	mu     sync.Mutex
	server *server.Server
}

// StartBroker starts a server on a free loopback port with its files in dir and
// makes the stream and the consumer.
func StartBroker(ctx context.Context, dir string) (*Broker, error) {
	b := &Broker{dir: dir, port: server.RANDOM_PORT}
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
func (b *Broker) Start() error {
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

// Shutdown stops the server as if its machine had gone; Start brings it back
// with its messages.
func (b *Broker) Shutdown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return
	}
	b.server.Shutdown()
	b.server.WaitForShutdown()
	b.server = nil
}

// URL is the server's address. It stays the same over Shutdown and Start.
func (b *Broker) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("nats://127.0.0.1:%d", b.port)
}

// Connect opens a connection that comes back by itself after the server did.
func (b *Broker) Connect(name string) (*nats.Conn, error) {
	return nats.Connect(b.URL(), nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond), nats.RetryOnFailedConnect(true))
}

func (b *Broker) createStream(ctx context.Context) error {
	conn, err := b.Connect("setup")
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
