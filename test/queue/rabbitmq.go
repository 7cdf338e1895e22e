package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
)

// RabbitMQQueue is the queue's name.
const RabbitMQQueue = "orders"

// rabbitMQUser is the broker's own first user and its password.
const rabbitMQUser = "guest"

// RabbitMQ is a RabbitMQ broker with one durable queue, read by its management
// API.
type RabbitMQ struct {
	settings brokers.RabbitMQ

	mu     sync.Mutex
	server *brokers.Server
	down   bool
}

// StartRabbitMQ starts a broker on free loopback ports with its files in dir and
// makes the queue.
func StartRabbitMQ(ctx context.Context, dir string) (Broker, error) {
	dir, err := brokers.FolderIn(dir, "rabbitmq")
	if err != nil {
		return nil, err
	}
	settings, err := brokers.NewRabbitMQ(dir)
	if err != nil {
		return nil, err
	}
	config, err := settings.Config()
	if err != nil {
		return nil, err
	}
	b := &RabbitMQ{settings: settings}
	if b.server, err = brokers.Start(ctx, config); err != nil {
		return nil, err
	}
	c := &amqpConnection{broker: b}
	defer c.Close()
	if err := c.open(); err != nil {
		return nil, errors.Join(err, b.server.Close())
	}
	if _, err := c.channel.QueueDeclare(RabbitMQQueue, true, false, false, false, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("declare queue %s: %w", RabbitMQQueue, err), b.server.Close())
	}
	return b, nil
}

// Start starts the broker again.
func (b *RabbitMQ) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		return errors.New("the broker runs already")
	}
	b.down = false
	return b.server.Restart(context.Background())
}

// Shutdown ends the broker. It is asked to end and not killed: it confirms a queue
// before it has written down that there is one, and after a kill soon after its
// start knows of neither the queue nor the messages in it.
func (b *RabbitMQ) Shutdown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		b.down = b.server.Stop() == nil
	}
}

// Close ends the broker and removes its files.
func (b *RabbitMQ) Close() { _ = b.server.Close() }

// Source is the queue, read by the management API.
func (b *RabbitMQ) Source() v1alpha1.Source {
	key := func(name string) v1alpha1.SecretKey { return v1alpha1.SecretKey{Name: CredentialsSecret, Key: name} }
	return v1alpha1.Source{RabbitMQ: &v1alpha1.RabbitMQSource{
		URL: b.settings.ManagementURL(), VHost: "/", Queue: RabbitMQQueue,
		Credentials: &v1alpha1.BasicAuth{Username: key("username"), Password: key("password")},
		// The broker counts each second; see brokers.RabbitMQ.
		StatisticsAge: &metav1.Duration{Duration: 2 * time.Second},
	}}
}

// Credentials are those of the broker's own first user.
func (b *RabbitMQ) Credentials() map[string]string {
	return map[string]string{"username": rabbitMQUser, "password": rabbitMQUser}
}

// Connect gives a connection that is opened when it is first used.
func (b *RabbitMQ) Connect(string) (Connection, error) { return &amqpConnection{broker: b}, nil }

// amqpConnection is opened again whenever it was lost.
type amqpConnection struct {
	broker     *RabbitMQ
	conn       *amqp.Connection
	channel    *amqp.Channel
	deliveries <-chan amqp.Delivery
	// returns are messages that no queue took, which the broker confirms all the same.
	returns <-chan amqp.Return
}

func (c *amqpConnection) open() error {
	if c.conn != nil && !c.conn.IsClosed() && !c.channel.IsClosed() {
		return nil
	}
	c.Close()
	conn, err := amqp.DialConfig(c.broker.settings.URL(), amqp.Config{
		Heartbeat: AckWait, Dial: amqp.DefaultDial(2 * time.Second),
	})
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	channel, err := conn.Channel()
	if err != nil {
		return errors.Join(fmt.Errorf("open a channel: %w", err), conn.Close())
	}
	c.conn, c.channel, c.deliveries = conn, channel, nil
	return nil
}

func (c *amqpConnection) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

func (c *amqpConnection) Publish(ctx context.Context, body string) error {
	fresh := c.conn == nil || c.conn.IsClosed() || c.channel.IsClosed()
	if err := c.open(); err != nil {
		return err
	}
	if fresh {
		if err := c.channel.Confirm(false); err != nil {
			return fmt.Errorf("ask for confirmations: %w", err)
		}
		c.returns = c.channel.NotifyReturn(make(chan amqp.Return, 1))
	}
	confirmation, err := c.channel.PublishWithDeferredConfirmWithContext(ctx, "", RabbitMQQueue, true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
	if err != nil {
		return err
	}
	taken, err := confirmation.WaitContext(ctx)
	if err == nil && !taken {
		err = errors.New("the broker did not take the message")
	}
	if err != nil {
		return err
	}
	// A return comes before its confirmation.
	select {
	case returned := <-c.returns:
		return fmt.Errorf("no queue took the message: %d %s", returned.ReplyCode, returned.ReplyText)
	default:
		return nil
	}
}

func (c *amqpConnection) Receive(ctx context.Context) (Message, error) {
	if err := c.consume(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(receiveWait):
	case delivery, open := <-c.deliveries:
		if open {
			return amqpMessage{channel: c.channel, delivery: delivery}, nil
		}
		c.deliveries = nil
	}
	return nil, ErrNone
}

// consume has one message at a time delivered, and acknowledgements confirmed,
// which AMQP does for transactions only.
func (c *amqpConnection) consume() error {
	if err := c.open(); err != nil {
		return err
	}
	if c.deliveries != nil {
		return nil
	}
	if err := errors.Join(c.channel.Tx(), c.channel.Qos(1, 0, false)); err != nil {
		return err
	}
	deliveries, err := c.channel.Consume(RabbitMQQueue, "", false, false, false, false, nil)
	c.deliveries = deliveries
	return err
}

type amqpMessage struct {
	channel  *amqp.Channel
	delivery amqp.Delivery
}

func (m amqpMessage) Body() string { return string(m.delivery.Body) }

// Done acknowledges the message. Where the connection is lost meanwhile nobody
// knows whether the broker heard it: the work was done, and if it comes again the
// tally counts that.
func (m amqpMessage) Done(context.Context) error {
	err := m.delivery.Ack(false)
	if err == nil {
		err = m.channel.TxCommit()
	}
	if err != nil && m.channel.IsClosed() {
		return nil
	}
	return err
}
