package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

const (
	// connections bounds those to one server, below the 20 queries that Prometheus
	// answers at a time.
	connections = 16
	// longestURL is the length of the arguments up to which a question is a GET,
	// which proxies let those do who may only read.
	longestURL = 4 << 10
)

// link is where and how to ask.
type link struct {
	urls      []string
	transport httpapi.TransportConfig
	// key is equal for links that can share connections.
	key string
}

// pool shares connections between pollers.
type pool struct {
	mu     sync.Mutex
	linked map[string]*servers
}

func newPool() *pool { return &pool{linked: map[string]*servers{}} }

// acquire gives the shared servers of a link, not yet connected.
func (p *pool) acquire(l link) (*servers, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.linked[l.key]
	if !ok {
		var err error
		if s, err = newServers(p, l); err != nil {
			return nil, err
		}
		p.linked[l.key] = s
	}
	s.users++
	return s, nil
}

// server is one of them.
type server struct {
	v1.API
	url string
}

// instant asks an instant query; at is the time of evaluation, zero for the
// server's own. A value that some of the data is missing from is an error: it would
// be a smaller number than the one that was asked for.
func (s server) instant(ctx context.Context, text string, at time.Time) (model.Value, error) {
	value, warnings, _, err := s.Query(ctx, text, at)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(warnings, ofData) {
		return nil, partial(s.url)
	}
	return value, nil
}

// ofData tells whether a warning is about data that could not be read, and not
// about the query, as those of Prometheus' own language are.
func ofData(warning string) bool { return !strings.HasPrefix(warning, "PromQL ") }

// servers hold the same data. One of them is asked for as long as it answers.
type servers struct {
	link      link
	pool      *pool
	transport *httpapi.Transport
	each      []server
	// users is guarded by the pool's mutex.
	users int

	mu      sync.Mutex
	current int
}

func newServers(p *pool, l link) (*servers, error) {
	s := &servers{link: l, pool: p, transport: httpapi.NewTransport(l.transport)}
	for _, url := range l.urls {
		client, err := api.NewClient(api.Config{Address: url, RoundTripper: whole{readOnly{s.transport}}})
		if err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "%s is no URL", httpapi.Server(url))
		}
		s.each = append(s.each, server{API: v1.NewAPI(client), url: url})
	}
	return s, nil
}

// release gives the servers back; the last user closes the connections.
func (s *servers) release() {
	s.pool.mu.Lock()
	s.users--
	last := s.users == 0
	if last && s.pool.linked[s.link.key] == s {
		delete(s.pool.linked, s.link.key)
	}
	s.pool.mu.Unlock()
	if last {
		s.transport.CloseIdleConnections()
	}
}

// ask puts a question to the server that answered last, and to the others in turn
// where it fails in a way in which another may not. What is left of the time is
// shared out among those that are left. Its error is a *source.Error.
func (s *servers) ask(ctx context.Context, question func(context.Context, server) error) error {
	s.mu.Lock()
	first := s.current
	s.mu.Unlock()
	var failures []*source.Error
	for i := range s.each {
		at := (first + i) % len(s.each)
		share, cancel := part(ctx, len(s.each)-i)
		err := question(share, s.each[at])
		cancel()
		if err == nil {
			s.mu.Lock()
			s.current = at
			s.mu.Unlock()
			return nil
		}
		failure := s.failure(s.each[at].url, err)
		if !anotherMayAnswer(failure) {
			return failure
		}
		failures = append(failures, failure)
	}
	return together(failures)
}

// part is a context that ends after the first of n equal parts of the time left.
func part(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}

// readOnly turns the client's POSTs into GETs where their arguments are short.
type readOnly struct{ http.RoundTripper }

func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || r.Body == nil || r.ContentLength > longestURL {
		return t.RoundTripper.RoundTrip(r)
	}
	arguments, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	get := r.Clone(r.Context())
	get.Method, get.Body, get.GetBody, get.ContentLength = http.MethodGet, http.NoBody, nil, 0
	get.URL.RawQuery = string(arguments)
	get.Header.Del("Content-Type")
	return t.RoundTripper.RoundTrip(get)
}

// partialMark is how VictoriaMetrics says that some of its stores did not answer,
// in a member that Prometheus' client does not look at.
const partialMark = `"isPartial"`

// whole refuses replies that say of themselves that they lack data.
type whole struct{ http.RoundTripper }

func (t whole) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	var reply struct {
		Partial bool `json:"isPartial"`
	}
	if bytes.Contains(body, []byte(partialMark)) && json.Unmarshal(body, &reply) == nil && reply.Partial {
		return nil, partial(r.URL.String())
	}
	return response, nil
}

// digest tells links apart by everything that a server can tell them apart by.
func (l link) digest() string {
	return access.Digest(l.urls, l.transport.Auth.Digest(), l.transport.TLS, l.transport.Header)
}

// names are the servers, for people.
func (l link) names() string { return strings.Join(l.urls, ",") }
