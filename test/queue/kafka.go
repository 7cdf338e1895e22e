package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
)

// Names of the topic and of the consumer group.
const (
	KafkaTopic = "orders"
	KafkaGroup = "workers"
)

// kafkaPartitions are more than any run has workers, since a partition has one
// worker at a time.
const kafkaPartitions = 32

// Kafka is a broker in this process that speaks Kafka's protocol: franz-go's
// kfake, not Apache Kafka itself, with one topic and one consumer group.
type Kafka struct {
	dir  string
	port int

	mu      sync.Mutex
	cluster *kfake.Cluster
}

// StartKafka starts a broker on a free loopback port with its files in dir.
func StartKafka(ctx context.Context, dir string) (Broker, error) {
	port, err := brokers.FreePort()
	if err != nil {
		return nil, err
	}
	b := &Kafka{dir: dir, port: port}
	if err := b.Start(); err != nil {
		return nil, err
	}
	if err := b.createGroup(ctx); err != nil {
		b.Shutdown()
		return nil, err
	}
	return b, nil
}

// createGroup has the group begin at the topic's start: without an offset it
// would not exist before its first worker.
func (b *Kafka) createGroup(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address()))
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	defer client.Close()
	var start kadm.Offsets
	for partition := range int32(kafkaPartitions) {
		start.Add(kadm.Offset{Topic: KafkaTopic, Partition: partition, LeaderEpoch: -1})
	}
	if err := kadm.NewClient(client).CommitAllOffsets(ctx, KafkaGroup, start); err != nil {
		return fmt.Errorf("create group %s: %w", KafkaGroup, err)
	}
	return nil
}

// Start starts the broker, on the port that it had before.
func (b *Kafka) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		return errors.New("the broker runs already")
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(b.port), kfake.DataDir(b.dir), kfake.SyncWrites(),
		kfake.SeedTopics(kafkaPartitions, KafkaTopic), kfake.GroupMinSessionTimeout(time.Second),
	)
	if err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	b.cluster = cluster
	return nil
}

// Shutdown stops the broker.
func (b *Kafka) Shutdown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		b.cluster.Close()
		b.cluster = nil
	}
}

// Close ends the broker.
func (b *Kafka) Close() { b.Shutdown() }

func (b *Kafka) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// Source is the group's lag.
func (b *Kafka) Source() v1alpha1.Source {
	return v1alpha1.Source{Kafka: &v1alpha1.KafkaSource{
		Brokers: []string{b.address()}, Group: KafkaGroup, Topics: []string{KafkaTopic},
	}}
}

// Credentials are none.
func (b *Kafka) Credentials() map[string]string { return nil }

// Connect makes a client. It joins the group when it first receives.
func (b *Kafka) Connect(name string) (Connection, error) {
	c := &kafkaConnection{broker: b, name: name}
	var err error
	c.producer, err = kgo.NewClient(c.options(
		kgo.DefaultProduceTopic(KafkaTopic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))...)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", name, err)
	}
	return c, nil
}

type kafkaConnection struct {
	broker   *Kafka
	name     string
	producer *kgo.Client
	// member is the client that takes part in the group, nil before Receive.
	member *kgo.Client
}

func (c *kafkaConnection) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(c.broker.address()), kgo.ClientID(c.name),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
	}, more...)
}

// Close leaves the group, so that another worker has the partitions at once.
func (c *kafkaConnection) Close() {
	c.producer.Close()
	if c.member != nil {
		c.member.Close()
	}
}

func (c *kafkaConnection) Publish(ctx context.Context, body string) error {
	return c.producer.ProduceSync(ctx, kgo.StringRecord(body)).FirstErr()
}

func (c *kafkaConnection) Receive(ctx context.Context) (Message, error) {
	if c.member == nil {
		member, err := kgo.NewClient(c.options(
			kgo.ConsumerGroup(KafkaGroup), kgo.ConsumeTopics(KafkaTopic), kgo.DisableAutoCommit(),
			kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.FetchMaxWait(receiveWait/2),
			kgo.SessionTimeout(AckWait), kgo.HeartbeatInterval(AckWait/10), kgo.RebalanceTimeout(AckWait),
		)...)
		if err != nil {
			return nil, fmt.Errorf("join group %s: %w", KafkaGroup, err)
		}
		c.member = member
	}
	wait, cancel := context.WithTimeout(ctx, receiveWait)
	defer cancel()
	records := c.member.PollRecords(wait, 1).Records()
	if len(records) == 0 {
		return nil, ErrNone
	}
	return kafkaMessage{client: c.member, record: records[0]}, nil
}

type kafkaMessage struct {
	client *kgo.Client
	record *kgo.Record
}

func (m kafkaMessage) Body() string { return string(m.record.Value) }

// Done commits the offset after the message. A partition that went to another
// worker takes the message along.
func (m kafkaMessage) Done(ctx context.Context) error {
	err := m.client.CommitRecords(ctx, m.record)
	for _, lost := range []error{kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress} {
		if errors.Is(err, lost) {
			return ErrLost
		}
	}
	return err
}
