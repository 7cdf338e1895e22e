package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/kafka"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const (
	// pollTimeout is generous: a poll of healthy brokers takes milliseconds.
	pollTimeout = 5 * time.Second
	// password is the users', where there are any.
	password = "correct-horse-battery"
	// topic has this many partitions.
	topic, partitions = "orders", 3
)

// world is a cluster of fake brokers, and a client of our own to use it with.
type world struct {
	*brokers.KafkaCluster
	client *kgo.Client
	admin  *kadm.Client
}

// start runs fake brokers until the test ends. Clients of our own come with opts.
func start(t testing.TB, n int, change func(*brokers.Kafka), opts ...kgo.Opt) *world {
	t.Helper()
	k, err := brokers.NewKafka(n)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&k)
	}
	cluster, err := k.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	w := &world{KafkaCluster: cluster}
	w.client, err = kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(cluster.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	w.admin = kadm.NewClient(w.client)
	w.makeTopic(t, topic, partitions)
	return w
}

func (w *world) makeTopic(t testing.TB, name string, n int32) {
	t.Helper()
	if _, err := w.admin.CreateTopic(t.Context(), n, 1, nil, name); err != nil {
		t.Fatalf("make topic %s: %v", name, err)
	}
}

// produce sends n records to a partition, as old as told.
func (w *world) produce(t testing.TB, topic string, partition int32, n int, age time.Duration) {
	t.Helper()
	for range n {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("x"), Timestamp: time.Now().Add(-age)}
		if err := w.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatalf("produce: %v", err)
		}
	}
}

// commit sets the group's offset of a partition.
func (w *world) commit(t testing.TB, topic string, partition int32, offset int64) {
	t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1})
	if err := w.admin.CommitAllOffsets(t.Context(), "workers", os); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

// spec reads the group at the brokers.
func spec(brokers []string, topics ...string) v1alpha1.KafkaSource {
	return v1alpha1.KafkaSource{Brokers: brokers, Group: "workers", Topics: topics}
}

func build(t testing.TB, spec v1alpha1.KafkaSource, s brokertest.Secrets, kinds ...query.Kind) (source.Query, error) {
	t.Helper()
	return kafka.NewBuilder().Build(t.Context(), source.Request{
		Source: v1alpha1.Source{Kafka: &spec}, Kinds: kinds, Secrets: s, Timeout: pollTimeout,
	})
}

// open builds and opens a poller that must be buildable.
func open(t testing.TB, spec v1alpha1.KafkaSource, s brokertest.Secrets, kinds ...query.Kind) source.Poller {
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

// wantFailure polls and expects a reason, and a message without the credentials.
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
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "horse") {
		t.Fatalf("the error shows a credential: %s", text)
	}
	return message
}

// numbers are the values of a reading that are numbers, and its counters.
func numbers(r query.Reading) map[string]float64 {
	out := map[string]float64{}
	for kind, g := range r.Gauges {
		if g.Presence == query.Number {
			out[string(kind)] = g.Value
		}
	}
	if r.Arrived != nil {
		out["arrived"] = float64(*r.Arrived)
	}
	if r.Drained != nil {
		out["drained"] = float64(*r.Drained)
	}
	return out
}
