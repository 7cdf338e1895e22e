package rabbitmq_test

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/rabbitmq"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// countingProxy passes connections on and counts those that are open.
func countingProxy(t *testing.T, to string) (address string, connections *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	connections = &atomic.Int32{}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				return
			}
			connections.Add(1)
			go func() {
				_, _ = io.Copy(client, upstream)
				_ = client.Close()
			}()
			go func() {
				_, _ = io.Copy(upstream, client)
				_ = upstream.Close()
				connections.Add(-1)
			}()
		}
	}()
	return listener.Addr().String(), connections
}

func testOneConnection(t *testing.T, b *broker) {
	b.declare(t, "/", "shared.a", "classic")
	b.declare(t, "/", "shared.b", "classic")
	address, connections := countingProxy(t, b.URL()[len("amqp://"):])
	builder := rabbitmq.NewBuilder()
	var pollers []source.Poller
	for _, queue := range []string{"shared.a", "shared.b"} {
		spec := b.amqp(queue)
		spec.URL, spec.QueueType = "amqp://"+address, "Classic"
		p := openOf(t, builder, spec, secrets)
		mustPoll(t, p)
		pollers = append(pollers, p)
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("two pollers hold %d connections, want 1", got)
	}
	pollers[0].Close()
	mustPoll(t, pollers[1])
	for _, p := range pollers {
		p.Close()
		p.Close() // closing twice is closing once
	}
	brokertest.Eventually(t, "the end of the connection", func() error {
		if n := connections.Load(); n != 0 {
			return fmt.Errorf("%d are still open", n)
		}
		return nil
	})
	wantFailure(t, pollers[0], pollTimeout, source.ReasonUnreachable)
}
