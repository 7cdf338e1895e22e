package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
)

// Names of the stream and of its consumer group.
const (
	RedisStream = "orders"
	RedisGroup  = "workers"
)

// redisField is the field of an entry that holds the body.
const redisField = "body"

// Redis is a Redis server with one stream and one consumer group. It tells
// whoever asks for keyspace events of changes of streams.
type Redis struct {
	settings brokers.Redis

	mu     sync.Mutex
	server *brokers.Server
	down   bool
}

// StartRedis starts a server on a free loopback port with its files in dir and
// makes the stream and the group.
func StartRedis(ctx context.Context, dir string) (Broker, error) {
	server, settings, err := startRedis(ctx, dir)
	if err != nil {
		return nil, err
	}
	b := &Redis{settings: settings, server: server}
	client := b.dial("setup")
	defer func() { _ = client.Close() }()
	if err := client.XGroupCreateMkStream(ctx, RedisStream, RedisGroup, "0").Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("create group %s: %w", RedisGroup, err), server.Close())
	}
	return b, nil
}

func startRedis(ctx context.Context, dir string) (*brokers.Server, brokers.Redis, error) {
	dir, err := brokers.FolderIn(dir, "redis")
	if err != nil {
		return nil, brokers.Redis{}, err
	}
	settings, err := brokers.NewRedis(dir)
	if err != nil {
		return nil, settings, err
	}
	settings.Events = "Kt"
	config, err := settings.Config()
	if err != nil {
		return nil, settings, err
	}
	server, err := brokers.Start(ctx, config)
	return server, settings, err
}

// Start starts the server again.
func (b *Redis) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		return errors.New("the broker runs already")
	}
	b.down = false
	return b.server.Restart(context.Background())
}

// Shutdown kills the server.
func (b *Redis) Shutdown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		b.down = b.server.Kill() == nil
	}
}

// Close ends the server and removes its files.
func (b *Redis) Close() { _ = b.server.Close() }

// Source is the stream as the group sees it.
func (b *Redis) Source() v1alpha1.Source {
	return v1alpha1.Source{Redis: &v1alpha1.RedisSource{
		Addresses: []string{b.settings.Address()}, Topology: "Single",
		Stream: &v1alpha1.RedisStream{Key: RedisStream, Group: RedisGroup},
	}}
}

// Credentials are none.
func (b *Redis) Credentials() map[string]string { return nil }

func (b *Redis) dial(name string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: b.settings.Address(), ClientName: strings.ReplaceAll(name, " ", "-"), PoolSize: 2,
		MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 2 * receiveWait, ContextTimeoutEnabled: true,
	})
}

// Connect opens a connection.
func (b *Redis) Connect(name string) (Connection, error) {
	return &redisConnection{client: b.dial(name), name: name}, nil
}

type redisConnection struct {
	client *redis.Client
	name   string
	// claimed is when the messages of lost workers were last asked for.
	claimed time.Time
}

func (c *redisConnection) Close() { _ = c.client.Close() }

func (c *redisConnection) Publish(ctx context.Context, body string) error {
	return c.client.XAdd(ctx, &redis.XAddArgs{Stream: RedisStream, Values: []string{redisField, body}}).Err()
}

// Receive takes a message of a worker that was lost, where there is one, and
// otherwise a new one.
func (c *redisConnection) Receive(ctx context.Context) (Message, error) {
	if time.Since(c.claimed) > AckWait {
		c.claimed = time.Now()
		lost, _, err := c.client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: RedisStream, Group: RedisGroup, Consumer: c.name, MinIdle: AckWait, Start: "0", Count: 1,
		}).Result()
		if err == nil && len(lost) == 1 {
			return redisMessage{client: c.client, entry: lost[0]}, nil
		}
	}
	streams, err := c.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: RedisGroup, Consumer: c.name, Streams: []string{RedisStream, ">"}, Count: 1, Block: receiveWait,
	}).Result()
	if err != nil || len(streams) != 1 || len(streams[0].Messages) != 1 {
		return nil, ErrNone
	}
	return redisMessage{client: c.client, entry: streams[0].Messages[0]}, nil
}

type redisMessage struct {
	client *redis.Client
	entry  redis.XMessage
}

func (m redisMessage) Body() string {
	body, _ := m.entry.Values[redisField].(string)
	return body
}

// Done acknowledges the entry. One that was acknowledged already is done with too.
func (m redisMessage) Done(ctx context.Context) error {
	return m.client.XAck(ctx, RedisStream, RedisGroup, m.entry.ID).Err()
}
