package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// pollTimeout is generous: a poll of a healthy server takes milliseconds.
const pollTimeout = 5 * time.Second

// target is what the server scrapes.
type target struct {
	address string

	mu   sync.Mutex
	text string
}

func startTarget(t testing.TB, text string) *target {
	t.Helper()
	scraped := &target{text: text}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		scraped.mu.Lock()
		defer scraped.mu.Unlock()
		_, _ = io.WriteString(w, scraped.text)
	}))
	t.Cleanup(server.Close)
	scraped.address = strings.TrimPrefix(server.URL, "http://")
	return scraped
}

func (s *target) set(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
}

// startServer runs a real server that scrapes a target, until the test ends.
func startServer(t testing.TB, scraped *target, change func(*brokers.Prometheus)) (brokers.Prometheus, *brokers.Server) {
	t.Helper()
	brokertest.Program(t, "prometheus")
	settings, err := brokers.NewPrometheus(brokertest.Folder(t, "prometheus"), scraped.address)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&settings)
	}
	config, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	return settings, brokertest.Start(t, config)
}

func spec(text string, urls ...string) v1alpha1.PrometheusSource {
	return v1alpha1.PrometheusSource{URLs: urls, Query: text}
}

func build(spec v1alpha1.PrometheusSource, secrets brokertest.Secrets) (source.Query, error) {
	return prometheus.NewBuilder(nil).Build(context.Background(), source.Request{
		Namespace: "shop", Name: "test", Source: v1alpha1.Source{Prometheus: &spec}, Kinds: []query.Kind{query.Value},
		Secrets: secrets, Timeout: pollTimeout,
	})
}

func open(t testing.TB, spec v1alpha1.PrometheusSource, secrets brokertest.Secrets) source.Poller {
	t.Helper()
	q, err := build(spec, secrets)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	for _, text := range []string{q.String(), q.Key(), q.Subject(), fmt.Sprintf("%v %+v %#v", q, q, q)} {
		noSecrets(t, text, secrets)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// noSecrets fails where a text shows the value of a Secret.
func noSecrets(t testing.TB, text string, secrets brokertest.Secrets) {
	t.Helper()
	for name, value := range secrets {
		if len(value) > 4 && strings.Contains(text, value) {
			t.Errorf("%s shows the credential %s", text, name)
		}
	}
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

// wantFailure polls and wants a failure of one reason; it gives the message.
func wantFailure(t testing.TB, p source.Poller, timeout time.Duration, reason string) string {
	t.Helper()
	began := time.Now()
	r, err := poll(t, p, timeout)
	if took := time.Since(began); took > timeout+time.Second {
		t.Errorf("the poll took %s, its timeout was %s", took, timeout)
	}
	var e *source.Error
	switch {
	case err == nil:
		t.Fatalf("a reading %+v, want a failure of reason %s", r, reason)
	case !errors.As(err, &e):
		t.Fatalf("%T: %v is no *source.Error", err, err)
	case e.Reason != reason:
		t.Fatalf("reason %s, want %s: %s", e.Reason, reason, e.Message)
	}
	return e.Message
}

// await polls until the value is a number.
func await(t testing.TB, p source.Poller) {
	t.Helper()
	brokertest.Eventually(t, "the first value", func() error {
		r, err := poll(t, p, pollTimeout)
		if err == nil && r.Gauges[query.Value].Presence != query.Number {
			err = fmt.Errorf("the value is %+v", r.Gauges[query.Value])
		}
		return err
	})
}
