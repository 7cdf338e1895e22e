package natsjetstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// dialer makes the client's connections. It secures them itself, so that what is
// read from them can be guarded.
type dialer struct {
	tls access.TLS
	// secure are the addresses that must be secured; web tells that all are of
	// WebSockets.
	secure map[string]bool
	web    bool
}

// targets gives the addresses for the client, and who dials them. A WebSocket is
// secured before the client sees it, and so is a plain one to it.
func (l link) targets() (string, *dialer) {
	d := &dialer{tls: l.credentials.tls, secure: map[string]bool{}}
	targets := make([]string, len(l.servers))
	for i, server := range l.servers {
		targets[i] = server
		u, err := url.Parse(server) // was checked when the query was built
		if err != nil {
			continue
		}
		port := "4222"
		switch u.Scheme {
		case "ws":
			port, d.web = "80", true
		case "wss":
			port, d.web = "443", true
		}
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), port)
		}
		if d.tls.Set || u.Scheme == "tls" || u.Scheme == "wss" {
			d.secure[u.Host] = true
		}
		if u.Scheme == "wss" {
			u.Scheme = "ws"
		}
		targets[i] = u.String()
	}
	return strings.Join(targets, ","), d
}

// SkipTLSHandshake tells the client that connections are secured here.
func (d *dialer) SkipTLSHandshake() bool { return true }

// Dial connects to one server, and secures and guards the connection.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	conn, err := access.Dialer(0).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline() // it has one
	guarded, err := d.prepare(ctx, conn, deadline, address)
	if err == nil {
		// The client sets its own.
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return guarded, nil
}

func (d *dialer) prepare(ctx context.Context, conn net.Conn, deadline time.Time, address string) (net.Conn, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if d.web {
		if d.secure[address] {
			secured, err := d.secured(ctx, conn, address)
			return &guard{Conn: secured, feed: (&webFrames{}).feed}, err
		}
		return &guard{Conn: conn, feed: (&webFrames{}).feed}, nil
	}
	first, err := firstLine(conn)
	if err != nil {
		return nil, err
	}
	var info struct {
		Required  bool `json:"tls_required"`
		Available bool `json:"tls_available"`
	}
	// What is no information is for the client to refuse, and offers nothing.
	_ = json.Unmarshal(bytesAfter(first, "INFO "), &info)
	switch {
	case info.Required || (d.secure[address] && info.Available):
		if conn, err = d.secured(ctx, conn, address); err != nil {
			return nil, err
		}
	case d.secure[address]:
		return nil, nats.ErrSecureConnWanted
	}
	return &guard{Conn: conn, first: first, feed: (&frames{}).feed}, nil
}

// secured secures a connection. Its error is one of TLS.
func (d *dialer) secured(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	config := d.tls.Config()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address) // it was just dialed
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(nats.ErrTLS, err)
	}
	return secured, nil
}

// firstLine reads what a server says of itself, and not a byte more: what follows
// may be secured.
func firstLine(conn net.Conn) ([]byte, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < maxLine; {
		n, err := conn.Read(one)
		if line = append(line, one[:n]...); n > 0 && one[0] == '\n' {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: a line is too long", errGuard)
}

func bytesAfter(line []byte, prefix string) []byte {
	return []byte(strings.TrimPrefix(string(line), prefix))
}
