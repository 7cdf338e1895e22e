package natsjetstream_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// stallingProxy passes bytes on until it is told to stall.
func stallingProxy(t testing.TB, to string) (addr string, stall *atomic.Bool) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	stall = &atomic.Bool{}
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
			t.Cleanup(func() { _ = client.Close(); _ = upstream.Close() })
			go pass(upstream, client, stall)
			go pass(client, upstream, stall)
		}
	}()
	return listener.Addr().String(), stall
}

func pass(to io.Writer, from io.Reader, stall *atomic.Bool) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		for stall.Load() {
			time.Sleep(5 * time.Millisecond)
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestSlowServerTimesOutAndRecovers(t *testing.T) {
	s := startServer(t, nil)
	makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
	addr, stall := stallingProxy(t, s.Addr().String())
	p := open(t, spec("nats://"+addr), nil)
	mustPoll(t, p)

	stall.Store(true)
	began := time.Now()
	wantFailure(t, p, 200*time.Millisecond, source.ReasonTimeout)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a poll with a timeout of 200ms took %s", took)
	}
	stall.Store(false)
	eventually(t, func() error { _, err := poll(t, p, time.Second); return err })
}

func TestGarbage(t *testing.T) {
	t.Run("a server that does not speak NATS", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				_ = c.Close()
			}
		}()
		p := open(t, spec("nats://"+listener.Addr().String()), nil)
		wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	})
	for name, reply := range map[string]string{
		"no JSON":              "<html>",
		"empty":                "",
		"empty object":         "{}",
		"null":                 "null",
		"another consumer":     `{"stream_name":"ORDERS","name":"others","num_pending":1,"num_ack_pending":0,"num_redelivered":0,"delivered":{},"ack_floor":{}}`,
		"no counts":            `{"stream_name":"ORDERS","name":"workers","delivered":{},"ack_floor":{}}`,
		"a negative count":     `{"stream_name":"ORDERS","name":"workers","num_pending":-1,"num_ack_pending":0,"num_redelivered":0,"delivered":{},"ack_floor":{}}`,
		"a count that is text": `{"stream_name":"ORDERS","name":"workers","num_pending":"1","num_ack_pending":0,"num_redelivered":0,"delivered":{},"ack_floor":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(o *server.Options) { o.JetStream = false })
			nc, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.Subscribe("$JS.API.CONSUMER.INFO.>", func(m *nats.Msg) { _ = m.Respond([]byte(reply)) }); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			wantFailure(t, open(t, spec(s.ClientURL()), nil), pollTimeout, source.ReasonBadReply)
		})
	}
}
