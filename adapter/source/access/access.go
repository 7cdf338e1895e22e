// Package access reads what a source authenticates and secures itself with from
// the Secrets that an object names, and says in words that show nothing of it why
// a connection failed. Every source uses it, so that a credential is handled in
// one place. It opens no connection and knows no protocol.
package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// hidden is what a credential prints as.
const hidden = "[credential]"

// Secret is a credential. It prints as nothing; Reveal gives it to a client.
type Secret struct {
	// value is behind a pointer, nil for none: package fmt asks no method of what is
	// in an unexported field of another struct, and would print the text itself.
	value *string
}

// NewSecret makes a Secret of a text.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal gives the credential itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty tells whether there is none.
func (s Secret) Empty() bool { return s.value == nil }

func (s Secret) String() string { return hidden }

// GoString keeps the credential out of %#v.
func (s Secret) GoString() string { return hidden }

// MarshalJSON keeps the credential out of documents.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// Basic is a user's name and password.
type Basic struct{ User, Password Secret }

// Reader reads keys of Secrets until the first error.
type Reader struct {
	ctx     context.Context //nolint:containedctx // lives for one call of Build
	secrets source.Secrets
	err     error
}

// NewReader makes a Reader for one call of a Builder's Build.
func NewReader(ctx context.Context, secrets source.Secrets) *Reader {
	return &Reader{ctx: ctx, secrets: secrets}
}

// Err is the first error, a *source.Error that names Secret and key.
func (r *Reader) Err() error { return r.err }

// Bytes reads one key; nil where none is named or an error came before.
func (r *Reader) Bytes(ref *v1alpha1.SecretKey) []byte {
	if ref == nil || r.err != nil {
		return nil
	}
	value, err := r.secrets.Key(r.ctx, *ref)
	if err != nil {
		r.err = err
		return nil
	}
	return value
}

// Text reads one key without the white space around it, which editors leave.
func (r *Reader) Text(ref *v1alpha1.SecretKey) Secret {
	return NewSecret(string(bytes.TrimSpace(r.Bytes(ref))))
}

// Basic reads a user's name and password; empty without a reference.
func (r *Reader) Basic(ref *v1alpha1.BasicAuth) Basic {
	if ref == nil {
		return Basic{}
	}
	return Basic{User: r.Text(&ref.Username), Password: r.Text(&ref.Password)}
}

// Digest is a key that shows nothing of its parts: two lists of parts have one
// digest where they are equal. Parts are anything that encodes as JSON, and
// Secrets, which count with their value.
func Digest(parts ...any) string {
	plain := make([]any, len(parts))
	for i, part := range parts {
		plain[i] = revealed(part)
	}
	// What callers give always encodes: texts, numbers, booleans and lists of them.
	encoded, _ := json.Marshal(plain)
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

func revealed(part any) any {
	switch p := part.(type) {
	case Secret:
		return p.Reveal()
	case Basic:
		return []string{p.User.Reveal(), p.Password.Reveal()}
	case TLS:
		return p.parts()
	}
	return part
}

// shortestScrubbed is the length under which a credential is left in a text:
// taking out every "a" hides more than it protects.
const shortestScrubbed = 4

// Scrub takes credentials out of a text that another library wrote.
func Scrub(text string, secrets ...Secret) string {
	for _, s := range secrets {
		if value := s.Reveal(); len(value) >= shortestScrubbed {
			text = strings.ReplaceAll(text, value, "***")
		}
	}
	return text
}
