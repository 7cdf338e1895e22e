package httpapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// TestMachineThatVanished loses every byte of the connections that there are, as where
// another machine took the address over: polls soon go over a new one. Of HTTP/2 one
// connection carries all requests, and lives on when one of them is given up.
func TestMachineThatVanished(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var life atomic.Int32
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
			born := life.Load()
			pass := func(to io.Writer, from io.Reader) {
				buffer := make([]byte, 4096)
				for {
					n, err := from.Read(buffer)
					if err != nil {
						return
					}
					if life.Load() == born {
						_, _ = to.Write(buffer[:n])
					}
				}
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	r := access.NewReader(t.Context(), brokertest.Secrets{})
	c := httpapi.New(httpapi.Auth{}, r.TLS(&v1alpha1.TLS{InsecureSkipVerify: true}))
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		d, err := c.Get(ctx, "https://"+listener.Addr().String(), nil)
		if err == nil && string(d.Body) != "HTTP/2.0" {
			t.Errorf("the server was asked by %s", d.Body)
		}
		return err
	}
	brokertest.Eventually(t, "the first answer", ask)
	life.Add(1)
	if ask() == nil {
		t.Fatal("a connection that lost every byte gave an answer")
	}
	brokertest.Eventually(t, "an answer over a new connection", ask)
}
