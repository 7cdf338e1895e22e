// Package httpapi is one bounded GET over HTTP, as every source that speaks HTTP
// needs it: authenticated, secured, without proxies or redirects that would carry
// a credential elsewhere, and with the time at which the server answered. A source
// that has a client of another maker gives it this package's Transport. What the
// document means is the source's.
package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// MaxBody is the size of a document past which it is refused, in bytes.
const MaxBody = 16 << 20

const (
	// idleConnections to one server are as many as the collector's polls of one at
	// the same time: with fewer, pollers that share a client would connect all the time.
	idleConnections = 8
	idleFor         = 90 * time.Second
)

// Auth is how requests authenticate: by user and password, or by a token, or not.
type Auth struct {
	Basic  access.Basic
	Bearer access.Secret
}

// ReadAuth reads the Secrets that an object's auth names.
func ReadAuth(r *access.Reader, auth *v1alpha1.HTTPAuth) Auth {
	if auth == nil {
		return Auth{}
	}
	return Auth{Basic: r.Basic(auth.Basic), Bearer: r.Text(auth.Bearer)}
}

func (a Auth) secrets() []access.Secret {
	secrets := []access.Secret{a.Basic.Password, a.Bearer, a.Basic.User}
	if !a.Basic.User.Empty() {
		// As requests carry them, for a server that says again what it was told.
		both := a.Basic.User.Reveal() + ":" + a.Basic.Password.Reveal()
		secrets = append(secrets, access.NewSecret(base64.StdEncoding.EncodeToString([]byte(both))))
	}
	return secrets
}

// Digest tells two ways to authenticate apart without showing either.
func (a Auth) Digest() string { return access.Digest(a.Basic, a.Bearer) }

// Client gets documents with one set of credentials and TLS settings.
type Client struct {
	http *http.Client
	auth Auth
}

// New makes a Client that has no connection yet.
func New(auth Auth, tls access.TLS) *Client {
	return &Client{
		auth: auth,
		http: &http.Client{
			Transport: newBase(tls),
			// A document elsewhere may be anyone's, and so may be the one who hears
			// the credentials.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Document is what a server answered.
type Document struct {
	// Status is the HTTP status code.
	Status int
	// Header is the answer's.
	Header http.Header
	Body   []byte
	// Whole tells that the answer said where it ends. Any other ends where the
	// connection does, which may be in the middle.
	Whole bool
	// Sent and Received bound the time at which the server measured. Of an answer out
	// of a cache Sent is as long before the request as the cache has had it.
	Sent, Received query.Time
}

// Get asks for one document. Any answer that is whole is a Document, whatever its
// status: see Refusal. An error is a *source.Error that names the server.
func (c *Client) Get(ctx context.Context, address string, header http.Header) (Document, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return Document{}, source.Errorf(source.ReasonInvalid, "%s is no URL", Server(address))
	}
	for name, values := range header {
		request.Header[name] = values
	}
	c.auth.authorize(request)
	document := Document{Sent: source.Now()}
	response, err := c.http.Do(request)
	if err != nil {
		return Document{}, access.Failure(Server(address), unwrapURL(err), c.auth.secrets()...)
	}
	defer func() { _ = response.Body.Close() }()
	document.Status, document.Header, document.Whole = response.StatusCode, response.Header, whole(response)
	document.Sent = document.Sent.Add(-cachedFor(response.Header))
	document.Body, err = io.ReadAll(io.LimitReader(response.Body, MaxBody+1))
	document.Received = source.Now()
	switch {
	case err != nil:
		return Document{}, access.Failure(Server(address), unwrapURL(err), c.auth.secrets()...)
	case len(document.Body) > MaxBody:
		return Document{}, source.Errorf(source.ReasonBadReply, "%s answered with more than %d MiB", Server(address), MaxBody>>20)
	}
	source.Record(ctx, Server(address), func() []byte {
		return []byte(access.Scrub(string(document.Body), c.auth.secrets()...))
	})
	return document, nil
}

// whole tells whether an answer cannot be cut short unnoticed.
func whole(r *http.Response) bool {
	return r.ContentLength >= 0 || slices.Contains(r.TransferEncoding, "chunked") || r.ProtoMajor > 1 || r.Uncompressed
}

// longestCached is past any time that a cache keeps an answer for.
const longestCached = 100 * 365 * 24 * 60 * 60

// cachedFor is how long a cache on the way has had an answer.
func cachedFor(header http.Header) time.Duration {
	age, err := strconv.ParseUint(header.Get("Age"), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(min(age, longestCached)) * time.Second //nolint:gosec // bounded
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Refusal is the error of a status that is not 200, nil for 200. What the server
// said beside it is not repeated: it might hold anything.
func (d Document) Refusal(address string) error {
	switch {
	case d.Status == http.StatusOK:
		return nil
	case d.Status == http.StatusUnauthorized || d.Status == http.StatusForbidden:
		return source.Errorf(source.ReasonUnauthorized, "%s refused the credentials with status %d", Server(address), d.Status)
	case d.Status >= 300 && d.Status < 400:
		return source.Errorf(source.ReasonFailed, "%s answered with a redirect (status %d), which is not followed: give the address it leads to", Server(address), d.Status)
	}
	return source.Errorf(source.ReasonFailed, "%s answered with status %d", Server(address), d.Status)
}

// Server names scheme and host of a URL, for people.
func Server(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "the server"
	}
	return u.Scheme + "://" + u.Host
}

// CheckURL repeats what the API's own rules say, since objects can be older than
// the rules, and since a password in a URL would be shown in messages.
func CheckURL(field, address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return source.Errorf(source.ReasonInvalid, "%s is no URL such as http://host:8080", field)
	case u.User != nil:
		return source.Errorf(source.ReasonInvalid, "%s holds a user or password: those go into credentials", field)
	}
	return nil
}

// unwrapURL drops the address, query included, that net/http puts into errors.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// Join appends a path and a query to a server's root.
func Join(root, path string, values url.Values) string {
	joined := strings.TrimSuffix(root, "/") + path
	if len(values) > 0 {
		joined = fmt.Sprintf("%s?%s", joined, values.Encode())
	}
	return joined
}
