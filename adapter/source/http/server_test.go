package httpsource_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	httpsource "github.com/quartet-autoscaling/quartet/adapter/source/http"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const (
	pollTimeout = 5 * time.Second
	// secret is the credential of every test.
	secret = "correct-horse-battery"
)

// server answers what it is told to.
type server struct {
	mu      sync.Mutex
	handler http.HandlerFunc
	// paths are those that were asked for.
	paths []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	handler := s.handler
	s.paths = append(s.paths, r.URL.RequestURI())
	s.mu.Unlock()
	handler(w, r)
}

func (s *server) answer(handler http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = handler
}

// text answers a document.
func text(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

func depth(n int) http.HandlerFunc {
	return text("application/json", fmt.Sprintf(`{"depth":%d}`, n))
}

// serve runs a server until the test ends, or until stop, on an address of
// loopback; ":0" of it is any port.
func serve(t testing.TB, address string, handler http.HandlerFunc, config *tls.Config) (s *server, at string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	at = listener.Addr().String()
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	s = &server{handler: handler}
	running := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = running.Serve(listener) }()
	stop = func() { _ = running.Close() }
	t.Cleanup(stop)
	return s, at, stop
}

func request(spec v1alpha1.HTTPSource, secrets brokertest.Secrets) source.Request {
	return source.Request{
		Namespace: "shop", Name: "orders", Source: v1alpha1.Source{HTTP: &spec},
		Kinds: []query.Kind{query.Value}, Secrets: secrets, Timeout: pollTimeout,
	}
}

func open(t testing.TB, pods httpsource.Pods, r source.Request) source.Poller {
	t.Helper()
	q, err := httpsource.NewBuilder(pods).Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatal(err)
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
	reading, err := poll(t, p, pollTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// wantFailure polls and gives the failure's message, which must have the reason.
func wantFailure(t testing.TB, p source.Poller, timeout time.Duration, reason string) string {
	t.Helper()
	reading, err := poll(t, p, timeout)
	var failure *source.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %+v and error %v, want a failure of the source", reading, err)
	}
	if failure.Reason != reason {
		t.Fatalf("got reason %s (%s), want %s", failure.Reason, failure.Message, reason)
	}
	if strings.Contains(failure.Message, secret) {
		t.Fatalf("the failure shows a credential: %s", failure.Message)
	}
	return failure.Message
}
