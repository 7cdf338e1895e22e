package peer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// fileFor is how long the content of a file is believed.
	fileFor = 30 * time.Second
	// inFlight bounds the requests to one peer at the same time.
	inFlight = 64
	// maxWaiting bounds the requests to one peer with those that wait for their turn.
	maxWaiting  = 2 * inFlight
	dialTimeout = 3 * time.Second
	idleFor     = 90 * time.Second
)

// file is a file that may change. What was read last is given while it cannot be
// read.
type file struct {
	path  string
	clock clock.PassiveClock

	mu      sync.Mutex
	content []byte
	at      time.Time
}

func (f *file) read() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.at.IsZero() && f.clock.Since(f.at) < fileFor {
		return f.content, nil
	}
	content, err := os.ReadFile(f.path)
	switch {
	case err == nil:
		f.content, f.at = content, f.clock.Now()
	case f.content == nil:
		return nil, err
	}
	return f.content, nil
}

// forget has the file read again by the next who asks.
func (f *file) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = time.Time{}
}

// token is what the peer is called with.
type token struct {
	fixed string
	file  *file
}

// newToken takes the rule's own, or else that of the connection.
func newToken(rule Rule, cfg Config) (token, error) {
	path := rule.TokenFile
	if path == "" {
		path = cfg.TokenFile
	}
	switch {
	case path != "":
		return token{file: &file{path: path, clock: cfg.Clock}}, nil
	case cfg.Token != "":
		return token{fixed: cfg.Token}, nil
	}
	return token{}, errors.New("the connection to the API server has no token to call the peer with: give token-file")
}

func (t token) get() (string, error) {
	if t.file == nil {
		return t.fixed, nil
	}
	content, err := t.file.read()
	if err != nil {
		return "", fmt.Errorf("read our token: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// refused has a token that a peer did not take read again.
func (t token) refused() {
	if t.file != nil {
		t.file.forget()
	}
}

// client gives the HTTP client of a peer, made anew when the CA's file changed.
type client struct {
	rule Rule
	cfg  Config
	ca   *file

	mu     sync.Mutex
	pem    []byte
	http   *http.Client
	closer func()
}

func newClient(rule Rule, cfg Config) *client {
	c := &client{rule: rule, cfg: cfg}
	if rule.CAFile != "" {
		c.ca = &file{path: rule.CAFile, clock: cfg.Clock}
	}
	return c
}

func (c *client) get() (*http.Client, error) {
	var pem []byte
	if c.ca != nil {
		var err error
		if pem, err = c.ca.read(); err != nil {
			return nil, fmt.Errorf("read ca-file: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil && bytes.Equal(pem, c.pem) {
		return c.http, nil
	}
	secure := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: c.rule.host(),
		//nolint:gosec // asked for by a key that says what it does
		InsecureSkipVerify: c.rule.Insecure,
	}
	if c.ca != nil {
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("ca-file holds no PEM certificate")
		}
	}
	dial := c.cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	// No proxy of the environment and no redirect: both would carry the token
	// elsewhere.
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: secure, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: inFlight, MaxConnsPerHost: inFlight, IdleConnTimeout: idleFor,
	}
	if c.closer != nil {
		c.closer()
	}
	c.pem, c.closer = pem, transport.CloseIdleConnections
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c.http, nil
}

func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closer != nil {
		c.closer()
	}
}
