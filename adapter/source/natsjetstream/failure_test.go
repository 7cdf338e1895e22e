package natsjetstream_test

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // the protocol's own
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
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
		wantFailure(t, p, pollTimeout, source.ReasonBadReply)
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

// TestOldestAgeOfAnOldServer asks one that does not tell its time, as those before
// 2.10: an age that is not known is not 0.
func TestOldestAgeOfAnOldServer(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.JetStream = false })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for subject, reply := range map[string]string{
		"$JS.API.CONSUMER.INFO.>":  `{"stream_name":"ORDERS","name":"workers","num_pending":1,"num_ack_pending":0,"num_redelivered":0,"delivered":{},"ack_floor":{}}`,
		"$JS.API.STREAM.MSG.GET.>": `{"message":{"subject":"orders","seq":1,"time":"2026-03-01T12:00:00Z"}}`,
	} {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(reply)) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	r := mustPoll(t, open(t, spec(s.ClientURL()), nil, query.OldestAge))
	if got := r.Gauges[query.OldestAge]; got.Presence != query.Absent {
		t.Errorf("the age is %+v", got)
	}
}

// TestRogueServer announces a message for which nobody has room. The client would end
// the process, and with it all other sources.
func TestRogueServer(t *testing.T) {
	const rogue = "PONG\r\nMSG a 1 1152921504606846976\r\nx"
	authority := newAuthority(t)
	secured := func(c net.Conn) net.Conn {
		return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{authority.server}, MinVersion: tls.VersionTLS12})
	}
	for name, test := range map[string]struct {
		scheme string
		serve  func(c net.Conn) net.Conn
	}{
		"plain": {"nats", func(c net.Conn) net.Conn {
			_, _ = io.WriteString(c, "INFO {}\r\n")
			return c
		}},
		"secured": {"tls", func(c net.Conn) net.Conn {
			_, _ = io.WriteString(c, `INFO {"tls_required":true}`+"\r\n")
			return secured(c)
		}},
		"a WebSocket":         {"ws", upgrade},
		"a secured WebSocket": {"wss", func(c net.Conn) net.Conn { return upgrade(secured(c)) }},
	} {
		t.Run(name, func(t *testing.T) {
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
					go func() {
						defer func() { _ = c.Close() }()
						c := test.serve(c)
						text := rogue
						if strings.HasPrefix(test.scheme, "ws") {
							text = fmt.Sprintf("\x82%c%s", len(rogue), rogue)
						}
						_, _ = c.Read(make([]byte, 4096)) // CONNECT
						_, _ = io.WriteString(c, text)
						_, _ = io.Copy(io.Discard, c)
					}()
				}
			}()
			asked := spec(test.scheme + "://" + listener.Addr().String())
			var held secrets
			if test.scheme == "tls" || test.scheme == "wss" {
				asked.TLS = &v1alpha1.TLS{CA: &v1alpha1.SecretKey{Name: "s", Key: "ca"}}
				held = secrets{"s/ca": authority.pem}
			}
			p := open(t, asked, held)
			for range 3 {
				_, err := poll(t, p, 300*time.Millisecond)
				if reason, message := source.ReasonOf(err); err == nil || reason != source.ReasonBadReply {
					t.Errorf("the poll ended with %s: %s", reason, message)
				}
			}
		})
	}
}

// upgrade answers the request for a WebSocket, and sends INFO over it.
func upgrade(c net.Conn) net.Conn {
	request, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return c
	}
	sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // the protocol's own
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n\x82\x09INFO {}\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	return c
}
