package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// AckWait is how long a broker waits for a worker that was lost before it gives
// its message to another one, where the broker does not see that it is lost.
const AckWait = 5 * time.Second

// CredentialsSecret is the name of the Secret that a Source may name.
const CredentialsSecret = "queue"

// receiveWait is how long a worker waits for a message before it asks again.
const receiveWait = time.Second

const startTimeout = 15 * time.Second

// ErrNone says that there was no message for a while, or no broker.
var ErrNone = errors.New("no message")

// ErrLost says that a message is not in the worker's hands any more: the broker
// gives it to another one.
var ErrLost = errors.New("the message was lost to another worker")

// Broker is a broker with one queue on it. Its messages survive Shutdown.
type Broker interface {
	// Source is where a MetricSource reads the queue's depth.
	Source() v1alpha1.Source
	// Credentials are the data of the Secret CredentialsSecret that Source names,
	// nil where it names none.
	Credentials() map[string]string
	// Connect opens a connection that comes back by itself after the broker did.
	Connect(name string) (Connection, error)
	// Shutdown stops the broker as if its machine had gone; Start brings it back,
	// at the same address and with its messages.
	Shutdown()
	Start() error
	// Close ends the broker for good.
	Close()
}

// Connection is one producer's or one worker's.
type Connection interface {
	// Publish ends when the broker has confirmed the message. A message that is
	// published again because no confirmation came may be in the queue twice.
	Publish(ctx context.Context, body string) error
	// Receive takes a message, or gives ErrNone where there is none for a while.
	Receive(ctx context.Context) (Message, error)
	Close()
}

// Message is a message in a worker's hands.
type Message interface {
	Body() string
	// Done ends when the broker has confirmed that the message is done with. Except
	// after ErrLost it may be called again.
	Done(ctx context.Context) error
}

// starters make a broker with its files in dir, by the name of its system.
var starters = map[string]func(ctx context.Context, dir string) (Broker, error){
	"kafka":    StartKafka,
	"nats":     StartNATS,
	"rabbitmq": StartRabbitMQ,
	"redis":    StartRedis,
}

// Systems are the names of the brokers that Start knows, sorted.
func Systems() []string {
	names := make([]string, 0, len(starters))
	for name := range starters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Start starts a broker by the name of its system, with its files in dir.
func Start(ctx context.Context, system, dir string) (Broker, error) {
	start, ok := starters[system]
	if !ok {
		return nil, fmt.Errorf("there is no broker %q: choose one of %s", system, strings.Join(Systems(), ", "))
	}
	return start(ctx, dir)
}
