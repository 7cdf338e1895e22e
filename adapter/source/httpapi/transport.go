package httpapi

import (
	"io"
	"net/http"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
)

// dialTimeout bounds the attempt on one address, where ctx does not end first.
const dialTimeout = 10 * time.Second

const (
	// silentFor is how long a connection of HTTP/2 may be silent before the server is
	// asked whether it is still there, and pingTimeout how long it may take to say so.
	// All requests share that connection, and it outlives those that time out.
	silentFor   = 5 * time.Second
	pingTimeout = 2 * time.Second
)

// TransportConfig says how a client of another maker speaks HTTP.
type TransportConfig struct {
	Auth Auth
	TLS  access.TLS
	// Header is sent with every request.
	Header http.Header
	// Connections bounds those to one server; 0 is no bound.
	Connections int
}

// Transport carries the requests of another maker's client by the rules of this
// package. It is an http.RoundTripper. What it refuses by itself (credentials that
// the server does not take, redirects, documents past MaxBody) is a *source.Error;
// every other answer is the client's to judge.
type Transport struct {
	base   *http.Transport
	auth   Auth
	header http.Header
}

// NewTransport makes a Transport that has no connection yet.
func NewTransport(c TransportConfig) *Transport {
	base := newBase(c.TLS)
	if c.Connections > 0 {
		base.MaxConnsPerHost, base.MaxIdleConnsPerHost = c.Connections, c.Connections
	}
	return &Transport{base: base, auth: c.Auth, header: c.Header}
}

// newBase is how all connections of this package are made.
func newBase(tls access.TLS) *http.Transport {
	dialer := access.Dialer(dialTimeout)
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: tls.Config(), ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: idleFor,
		HTTP2: &http.HTTP2Config{SendPingTimeout: silentFor, PingTimeout: pingTimeout},
	}
}

// RoundTrip sends one request.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range t.header {
		r.Header[name] = values
	}
	t.auth.authorize(r)
	response, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, access.Failure(Server(r.URL.String()), err, t.auth.secrets()...)
	}
	if refusal := refusedOutright(response.StatusCode, r.URL.String()); refusal != nil {
		_ = response.Body.Close()
		return nil, refusal
	}
	response.Body = &boundedBody{ReadCloser: response.Body, left: MaxBody, server: Server(r.URL.String())}
	return response, nil
}

// CloseIdleConnections ends connections that are not in use.
func (t *Transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// Secrets are what must not be in a text that a client of this Transport wrote.
func (t *Transport) Secrets() []access.Secret { return t.auth.secrets() }

// refusedOutright is the error of a status that no client need look into: its
// body might hold anything.
func refusedOutright(status int, address string) error {
	if status == http.StatusUnauthorized || status == http.StatusForbidden || (status >= 300 && status < 400) {
		return Document{Status: status}.Refusal(address)
	}
	return nil
}

// authorize sets what every request of this package has.
func (a Auth) authorize(r *http.Request) {
	r.Header.Set("User-Agent", "quartet-metrics-adapter/"+buildinfo.Get().Version)
	r.Header.Set("Cache-Control", "no-cache")
	switch {
	case !a.Bearer.Empty():
		r.Header.Set("Authorization", "Bearer "+a.Bearer.Reveal())
	case !a.Basic.User.Empty():
		r.SetBasicAuth(a.Basic.User.Reveal(), a.Basic.Password.Reveal())
	}
}

// boundedBody gives at most MaxBody bytes, and then an error.
type boundedBody struct {
	io.ReadCloser
	left   int
	server string
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		return b.left, source.Errorf(source.ReasonBadReply, "%s answered with more than %d MiB", b.server, MaxBody>>20)
	}
	b.left -= n
	return n, err
}
