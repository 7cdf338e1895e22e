package server

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/utils/clock"
)

const (
	// knownFor is how long a caller is known by what it showed: as long as the
	// generic server remembers a token.
	knownFor = 10 * time.Second
	// knownMost is how many callers are known at one time.
	knownMost = 4096
)

// knownCallers remembers for a moment who showed a client certificate, with the
// headers in which the aggregation layer tells for whom it asks. Without it each
// read verifies the same signature again, which takes longer than the rest of it.
// What comes with a token or without a certificate is asked for each time; tokens
// have a memory of their own further on.
type knownCallers struct {
	next    authenticator.Request
	headers *authenticatorfactory.RequestHeaderConfig
	clock   clock.PassiveClock

	mu    sync.Mutex
	known map[[sha256.Size]byte]knownCaller
}

type knownCaller struct {
	who   *authenticator.Response
	until time.Time
}

func newKnownCallers(next authenticator.Request, headers *authenticatorfactory.RequestHeaderConfig, c clock.PassiveClock) *knownCallers {
	return &knownCallers{next: next, headers: headers, clock: c, known: map[[sha256.Size]byte]knownCaller{}}
}

// AuthenticateRequest tells who asks.
func (k *knownCallers) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || len(r.Header["Authorization"]) > 0 {
		return k.next.AuthenticateRequest(r)
	}
	key, now := k.shown(r), k.clock.Now()
	k.mu.Lock()
	have, ok := k.known[key]
	k.mu.Unlock()
	if ok && now.Before(have.until) {
		return have.who, true, nil
	}
	who, ok, err := k.next.AuthenticateRequest(r)
	if err == nil && ok {
		until := now.Add(knownFor)
		for _, certificate := range r.TLS.PeerCertificates {
			if certificate.NotAfter.Before(until) {
				until = certificate.NotAfter
			}
		}
		k.remember(key, knownCaller{who: who, until: until}, now)
	}
	return who, ok, err
}

func (k *knownCallers) remember(key [sha256.Size]byte, caller knownCaller, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= knownMost {
		for other, have := range k.known {
			if !now.Before(have.until) {
				delete(k.known, other)
			}
		}
		if len(k.known) >= knownMost {
			clear(k.known)
		}
	}
	k.known[key] = caller
}

// shown digests everything that the caller is told by: its certificates, and the
// headers of the aggregation layer with their values, by name.
func (k *knownCallers) shown(r *http.Request) [sha256.Size]byte {
	names := make([]string, 0, 4)
	for name := range r.Header {
		if k.tells(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	text := make([]byte, 0, 2048)
	text = binary.AppendUvarint(text, uint64(len(r.TLS.PeerCertificates)))
	for _, certificate := range r.TLS.PeerCertificates {
		text = appendPart(text, certificate.Raw)
	}
	for _, name := range names {
		text = appendPart(text, name)
		text = appendParts(text, r.Header[name])
	}
	return sha256.Sum256(text)
}

// appendPart adds a part with its length, which keeps it apart from the next.
func appendPart[S string | []byte](to []byte, part S) []byte {
	return append(binary.AppendUvarint(to, uint64(len(part))), part...)
}

// appendParts adds a list of parts with its length.
func appendParts(to []byte, parts []string) []byte {
	to = binary.AppendUvarint(to, uint64(len(parts)))
	for _, part := range parts {
		to = appendPart(to, part)
	}
	return to
}

// tells whether a header is one by which the aggregation layer tells for whom it
// asks.
func (k *knownCallers) tells(name string) bool {
	if k.headers == nil {
		return false
	}
	for _, exact := range [][]string{
		k.headers.UsernameHeaders.Value(), k.headers.UIDHeaders.Value(), k.headers.GroupHeaders.Value(),
	} {
		for _, header := range exact {
			if strings.EqualFold(name, header) {
				return true
			}
		}
	}
	for _, prefix := range k.headers.ExtraHeaderPrefixes.Value() {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}
