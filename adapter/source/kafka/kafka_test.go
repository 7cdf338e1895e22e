package kafka_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

func TestLagAtFakeBrokers(t *testing.T) {
	w := start(t, 3, nil)
	p := open(t, spec(w.Brokers, topic), nil)
	wantFailure(t, p, pollTimeout, "GroupNotFound")

	w.commit(t, topic, 0, 0)
	before := time.Now().Round(0)
	empty := mustPoll(t, p)
	if diff := cmp.Diff(map[string]float64{"Depth": 0, "Lag": 0, "arrived": 0, "drained": 0}, numbers(empty)); diff != "" {
		t.Errorf("an empty topic (-want +got):\n%s", diff)
	}
	if empty.At.Before(before) || empty.At.After(time.Now()) {
		t.Errorf("measured at %s, outside of the poll", empty.At)
	}

	w.produce(t, topic, 0, 5, 0)
	w.produce(t, topic, 1, 4, 0)
	w.commit(t, topic, 0, 2)
	w.commit(t, topic, 1, 3)
	full := mustPoll(t, p)
	if diff := cmp.Diff(map[string]float64{"Depth": 4, "Lag": 4, "arrived": 9, "drained": 5}, numbers(full)); diff != "" {
		t.Errorf("a topic in use (-want +got):\n%s", diff)
	}
	if full.Epoch != empty.Epoch || full.Epoch == "" {
		t.Errorf("the epoch went from %q to %q, and the partitions are the same", empty.Epoch, full.Epoch)
	}
	var recorder source.Recorder
	if _, err := p.Poll(source.WithRecorder(t.Context(), &recorder)); err != nil {
		t.Fatal(err)
	}
	const text = "orders/0: start 0, committed 2, end 5, lag 3\norders/1: start 0, committed 3, end 4, lag 1\norders/2: start 0, committed -1, end 0, lag 0\n"
	if diff := cmp.Diff(text, string(recorder.Take()[0].Body)); diff != "" {
		t.Errorf("what is recorded for people (-want +got):\n%s", diff)
	}
	// One partition alone, and all topics of the group.
	one := spec(w.Brokers, topic)
	one.Partitions = []int32{1, 2}
	if diff := cmp.Diff(map[string]float64{"Depth": 1, "Lag": 1, "arrived": 4, "drained": 3}, numbers(mustPoll(t, open(t, one, nil)))); diff != "" {
		t.Errorf("two partitions (-want +got):\n%s", diff)
	}
	w.makeTopic(t, "returns", 1)
	w.produce(t, "returns", 0, 7, 0)
	all := open(t, spec(w.Brokers), nil)
	if got := numbers(mustPoll(t, all))["Depth"]; got != 4 {
		t.Errorf("Depth is %v, and the group has not read the other topic", got)
	}
	w.commit(t, "returns", 0, 1)
	if got := numbers(mustPoll(t, all))["Depth"]; got != 10 {
		t.Errorf("Depth of all topics is %v, want 10", got)
	}
}

func TestMissingAtFakeBrokers(t *testing.T) {
	w := start(t, 1, nil)
	w.commit(t, topic, 0, 0)
	wantFailure(t, open(t, spec(w.Brokers, "nowhere"), nil), pollTimeout, "TopicNotFound")
	one := spec(w.Brokers, topic)
	one.Partitions = []int32{0, 7}
	wantFailure(t, open(t, one, nil), pollTimeout, "PartitionNotFound")
	other := spec(w.Brokers, topic)
	other.Group = "nobody"
	wantFailure(t, open(t, other, nil), pollTimeout, "GroupNotFound")
}

// TestPartitionsWithoutOffsets is about what the group never read.
func TestPartitionsWithoutOffsets(t *testing.T) {
	w := start(t, 1, nil)
	w.produce(t, topic, 0, 5, 0)
	w.produce(t, topic, 1, 5, 0)
	w.commit(t, topic, 0, 5)
	for reset, want := range map[string]float64{"": 5, "Earliest": 5, "Latest": 0} {
		s := spec(w.Brokers, topic)
		s.OffsetReset = reset
		if got := numbers(mustPoll(t, open(t, s, nil)))["Depth"]; got != want {
			t.Errorf("offsetReset %q: Depth is %v, want %v", reset, got, want)
		}
	}
	// Records that were removed wait for nobody.
	if err := w.Fake().DeleteRecords(topic, 1, 3); err != nil {
		t.Fatal(err)
	}
	if got := numbers(mustPoll(t, open(t, spec(w.Brokers, topic), nil)))["Depth"]; got != 2 {
		t.Errorf("Depth is %v, want the 2 that are left", got)
	}
}

func TestMembersTopicsAtFakeBrokers(t *testing.T) {
	w := start(t, 1, nil)
	w.produce(t, topic, 2, 6, 0)
	worker, err := kgo.NewClient(kgo.SeedBrokers(w.Brokers...), kgo.ConsumerGroup("workers"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	worker.PollRecords(t.Context(), 1) // joins, and commits nothing
	if got := numbers(mustPoll(t, open(t, spec(w.Brokers), nil)))["Depth"]; got != 6 {
		t.Errorf("Depth is %v of a group that committed nothing yet, want 6", got)
	}
}

// TestGroupWithoutTopics has a group that lost its member before it committed
// anything: it is there, and nothing tells what it reads.
func TestGroupWithoutTopics(t *testing.T) {
	w := start(t, 1, nil)
	w.produce(t, topic, 0, 1, 0)
	worker, err := kgo.NewClient(kgo.SeedBrokers(w.Brokers...), kgo.ConsumerGroup("workers"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	worker.PollRecords(t.Context(), 1) // joins
	worker.Close()                     // leaves
	p := open(t, spec(w.Brokers), nil)
	brokertest.Eventually(t, "the group is empty", func() error {
		r, err := poll(t, p, pollTimeout)
		if err != nil {
			return err
		}
		for _, kind := range []query.Kind{query.Depth, "Lag"} {
			if g := r.Gauges[kind]; g.Presence != query.Empty || r.Arrived != nil {
				return fmt.Errorf("%s of a group without topics is %+v, want nothing", kind, g)
			}
		}
		return nil
	})
}

func TestLimitToPartitions(t *testing.T) {
	w := start(t, 1, nil)
	w.commit(t, topic, 0, 0)
	w.produce(t, topic, 0, 25, 0)
	w.produce(t, topic, 1, 3, 0)
	s := spec(w.Brokers, topic)
	s.LimitToPartitions = &v1alpha1.KafkaPartitionLimit{MessagesPerWorker: 10}
	got := numbers(mustPoll(t, open(t, s, nil)))
	if diff := cmp.Diff(map[string]float64{"Depth": 13, "Lag": 28, "arrived": 28, "drained": 0}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOldestAgeAtFakeBrokers(t *testing.T) {
	w := start(t, 2, nil)
	w.commit(t, topic, 0, 0)
	p := open(t, spec(w.Brokers, topic), nil, query.OldestAge)
	if g := mustPoll(t, p).Gauges[query.OldestAge]; g.Presence != query.Empty {
		t.Errorf("an empty topic has an oldest record: %+v", g)
	}
	w.produce(t, topic, 0, 1, time.Hour)
	w.produce(t, topic, 0, 1, 10*time.Minute)
	w.produce(t, topic, 1, 1, 20*time.Minute)
	w.produce(t, topic, 2, 1, time.Minute)
	about := func(want time.Duration) {
		t.Helper()
		g := mustPoll(t, p).Gauges[query.OldestAge]
		if off := g.Value - want.Seconds(); g.Presence != query.Number || off < -1 || off > 10 {
			t.Errorf("the oldest record is %+v old, want about %s", g, want)
		}
	}
	about(time.Hour)
	w.commit(t, topic, 0, 1)
	about(20 * time.Minute)
	w.commit(t, topic, 1, 1)
	about(10 * time.Minute)
	w.commit(t, topic, 0, 2)
	w.commit(t, topic, 2, 1)
	if g := mustPoll(t, p).Gauges[query.OldestAge]; g.Presence != query.Empty {
		t.Errorf("all is done with, and the oldest record is %+v old", g)
	}
}

// TestTopicMadeAnew has a group that is beyond the end of its topic, and another
// set of counters.
func TestTopicMadeAnew(t *testing.T) {
	w := start(t, 1, nil)
	w.produce(t, topic, 0, 9, 0)
	w.commit(t, topic, 0, 9)
	p := open(t, spec(w.Brokers, topic), nil)
	before := mustPoll(t, p)
	if err := w.Fake().DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, "TopicNotFound")
	if err := w.Fake().CreateTopic(topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
	fresh, err := kgo.NewClient(kgo.SeedBrokers(w.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	w.client, w.admin = fresh, kadm.NewClient(fresh)
	w.produce(t, topic, 0, 2, 0)
	w.commit(t, topic, 0, 9)
	var after query.Reading
	brokertest.Eventually(t, "the new topic is read", func() (err error) { after, err = poll(t, p, pollTimeout); return err })
	if got := numbers(after)["Depth"]; got != 2 {
		t.Errorf("Depth is %v of 2 records that nobody read", got)
	}
	if before.Epoch == after.Epoch {
		t.Error("two topics of one name have one epoch")
	}
}
