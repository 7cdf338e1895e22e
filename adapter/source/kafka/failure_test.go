package kafka_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

func TestFakeBrokersThatAreAwayComeBack(t *testing.T) {
	dir := t.TempDir()
	w := start(t, 2, func(k *brokers.Kafka) { k.Dir = dir })
	w.produce(t, topic, 0, 5, 0)
	w.commit(t, topic, 0, 2)
	p := open(t, spec(w.Brokers, topic), nil)
	before := mustPoll(t, p)

	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	if err := w.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var after query.Reading
	brokertest.Eventually(t, "the poller recovers", func() (err error) { after, err = poll(t, p, pollTimeout); return err })
	if diff := cmp.Diff(numbers(before), numbers(after)); diff != "" {
		t.Errorf("after the restart (-before +after):\n%s", diff)
	}
}

func TestSlowFakeBrokersTimeOutAndRecover(t *testing.T) {
	for name, key := range map[string]kmsg.Key{
		"the group":  kmsg.DescribeGroups,
		"its offset": kmsg.OffsetFetch,
		"the ends":   kmsg.ListOffsets,
		"topics":     kmsg.Metadata,
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, 1, nil)
			w.commit(t, topic, 0, 0)
			p := open(t, spec(w.Brokers, topic), nil)
			mustPoll(t, p)
			wake := make(chan struct{})
			w.Fake().ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
				w.Fake().SleepControl(func() { <-wake })
				return nil, nil, false
			})
			began := time.Now()
			wantFailure(t, p, 200*time.Millisecond, source.ReasonTimeout)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("a poll with a timeout of 200ms took %s", took)
			}
			close(wake)
			brokertest.Eventually(t, "the poller recovers", func() error { _, err := poll(t, p, time.Second); return err })
		})
	}
}

// TestNothingIsGuessed makes one part of a poll fail, and wants no part of a lag.
func TestNothingIsGuessed(t *testing.T) {
	for name, test := range map[string]struct {
		fault kfake.Fault
		want  string
	}{
		"the end of one partition": {kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: topic, Partitions: []int32{1}, Err: kerr.LeaderNotAvailable}, "LeaderNotAvailable"},
		"an end that is not known": {kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: topic, Partitions: []int32{2}, Err: kerr.UnknownServerError}, source.ReasonFailed},
		"the committed offsets":    {kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "workers", Err: kerr.GroupAuthorizationFailed}, source.ReasonUnauthorized},
		"the group":                {kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeGroups}, Group: "workers", Err: kerr.GroupAuthorizationFailed}, source.ReasonUnauthorized},
		"the coordinator":          {kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Group: "workers", Err: kerr.CoordinatorNotAvailable}, source.ReasonUnreachable},
		"a topic":                  {kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: topic, Err: kerr.TopicAuthorizationFailed}, source.ReasonUnauthorized},
		"the oldest record":        {kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Partitions: []int32{0}, Err: kerr.TopicAuthorizationFailed}, source.ReasonUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, 1, nil)
			w.produce(t, topic, 0, 3, 0)
			for i := range int32(partitions) {
				w.commit(t, topic, i, 0)
			}
			test.fault.Count = -1
			handle := w.Fake().Fault(test.fault)
			p := open(t, spec(w.Brokers, topic), nil, query.OldestAge)
			wantFailure(t, p, pollTimeout, test.want)
			handle.Remove()
			brokertest.Eventually(t, "the poller recovers", func() error { _, err := poll(t, p, time.Second); return err })
		})
	}
}

// TestTopicsThatAreLeftOut asks for two topics and is told of one: its lag is not that
// of both.
func TestTopicsThatAreLeftOut(t *testing.T) {
	for name, change := range map[string]func(*kmsg.MetadataResponse){
		"a topic":        func(r *kmsg.MetadataResponse) { r.Topics = r.Topics[:1] },
		"its partitions": func(r *kmsg.MetadataResponse) { r.Topics[1].Partitions = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, 1, nil)
			w.produce(t, topic, 0, 3, 0)
			w.Fake().ControlKey(int16(kmsg.Metadata), func(asked kmsg.Request) (kmsg.Response, error, bool) {
				w.Fake().KeepControl()
				if request, ok := asked.(*kmsg.MetadataRequest); !ok || len(request.Topics) != 2 {
					return nil, nil, false
				}
				reply, ok := asked.ResponseKind().(*kmsg.MetadataResponse)
				if !ok {
					return nil, nil, false
				}
				for _, name := range []string{topic, "other"} {
					of := kmsg.NewMetadataResponseTopic()
					of.Topic, of.Partitions = kmsg.StringPtr(name), []kmsg.MetadataResponseTopicPartition{kmsg.NewMetadataResponseTopicPartition()}
					reply.Topics = append(reply.Topics, of)
				}
				change(reply)
				return reply, nil, true
			})
			for i := range int32(partitions) {
				w.commit(t, topic, i, 0)
			}
			wantFailure(t, open(t, spec(w.Brokers, topic, "other"), nil), pollTimeout, source.ReasonBadReply)
		})
	}
}

// TestGroupThatIsNotDescribed is about groups of the newer protocol, which the
// request for classic ones does not find.
func TestGroupThatIsNotDescribed(t *testing.T) {
	w := start(t, 1, nil)
	w.produce(t, topic, 0, 3, 0)
	p := open(t, spec(w.Brokers, topic), nil)
	w.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeGroups}, Group: "workers", Err: kerr.GroupIDNotFound, Count: -1})
	wantFailure(t, p, pollTimeout, "GroupNotFound")
	w.commit(t, topic, 0, 1)
	if got := numbers(mustPoll(t, p))["Depth"]; got != 2 {
		t.Errorf("Depth is %v, want 2", got)
	}
}

// TestLeaderThatMoves moves a partition from one broker to the other.
func TestLeaderThatMoves(t *testing.T) {
	w := start(t, 2, nil)
	w.produce(t, topic, 0, 3, 0)
	w.commit(t, topic, 0, 1)
	p := open(t, spec(w.Brokers, topic), nil, query.OldestAge)
	before := numbers(mustPoll(t, p))["Depth"]
	for node := range int32(2) {
		if err := w.Fake().MoveTopicPartition(topic, 0, node); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "the new leader is found", func() error { _, err := poll(t, p, pollTimeout); return err })
		if got := numbers(mustPoll(t, p))["Depth"]; got != before {
			t.Errorf("Depth is %v at leader %d, want %v", got, node, before)
		}
	}
}

func TestOneOfTheBrokersIsAway(t *testing.T) {
	w := start(t, 1, nil)
	w.commit(t, topic, 0, 0)
	dead := fmt.Sprintf("127.0.0.1:%d", brokertest.FreePort(t))
	mustPoll(t, open(t, spec([]string{dead, w.Brokers[0]}, topic), nil))
	wantFailure(t, open(t, spec([]string{dead}, topic), nil), pollTimeout, source.ReasonUnreachable)
}

// listen is a server of our own that does with each connection what serve does.
func listen(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go serve(c)
		}
	}()
	return listener.Addr().String()
}

func TestGarbage(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"a server of HTTP":  {func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, source.ReasonBadReply},
		"a great length":    {func(c net.Conn) { _, _ = c.Write([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}) }, source.ReasonBadReply},
		"a negative length": {func(c net.Conn) { _, _ = c.Write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) }, source.ReasonBadReply},
		"an empty reply":    {func(c net.Conn) { _, _ = c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0}) }, source.ReasonBadReply},
		"silence":           {func(net.Conn) {}, source.ReasonTimeout},
		"a connection cut":  {func(c net.Conn) { _ = c.Close() }, source.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			wantFailure(t, open(t, spec([]string{listen(t, test.serve)}, topic), nil), time.Second, test.want)
		})
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	p := open(t, spec([]string{listen(t, func(net.Conn) {})}, topic), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Poll(ctx); err == nil {
		t.Fatal("a poll that was ended succeeded")
	}
}
