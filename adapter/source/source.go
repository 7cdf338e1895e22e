// Package source says what the collector needs of a system that metrics come
// from. Each system has a folder below this one with its real client. The
// package holds no protocol and no rule about values: what a reading means is
// decided in adapter/query.
package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Reasons of failures that any source can have. A source may add its own.
const (
	// ReasonUnreachable: no connection, or one that was lost.
	ReasonUnreachable = "Unreachable"
	// ReasonTimeout: connected, and no answer within the poll's timeout.
	ReasonTimeout = "Timeout"
	// ReasonUnauthorized: the credentials were refused, or do not allow this.
	ReasonUnauthorized = "Unauthorized"
	// ReasonTLS: the connection could not be secured.
	ReasonTLS = "TLSFailed"
	// ReasonBadReply: the answer was not what the protocol says.
	ReasonBadReply = "BadReply"
	// ReasonInvalid: the object or its Secrets cannot be used.
	ReasonInvalid = "InvalidSource"
	// ReasonFailed: anything else.
	ReasonFailed = "PollFailed"
)

// Error is a poll or a build that failed. Its text never holds a credential, and
// it wraps nothing, so that no text can come along by another way.
type Error struct {
	// Reason is one CamelCase word of a bounded set.
	Reason  string
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// ReasonOf gives an error's reason and text: those of an Error, and otherwise
// only what can be said without its text, which might hold anything.
func ReasonOf(err error) (reason, message string) {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Reason, e.Message
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout, "the source did not answer in time"
	}
	return ReasonFailed, fmt.Sprintf("the poll failed (%T)", err)
}

// Now is the wall clock without the monotonic reading, as readings carry it.
func Now() time.Time { return time.Now().UTC().Round(0) }

// Poller polls one query. Calls do not overlap.
type Poller interface {
	// Poll asks once and gives up when ctx ends. Its error is an *Error.
	Poll(ctx context.Context) (query.Reading, error)
	// Close frees what the poller holds. A Poll under way may fail.
	Close()
}

// Pusher is a Poller whose system tells of changes by itself. It spares nobody the
// polling: a poll follows each word of a change, and the interval goes on.
type Pusher interface {
	Poller
	// Watch calls changed whenever the subject may have changed, until ctx ends or
	// the system no longer tells; its error is then an *Error. It is called again
	// after a pause, and runs beside Poll.
	Watch(ctx context.Context, changed func()) error
}

// Query is one question to one system with one set of credentials. Its text
// holds no credential.
type Query interface {
	// Kind is the system's name, of a bounded set, as in spec.source.
	Kind() string
	// Key is equal for two queries that need be polled only once. It is
	// never shown.
	Key() string
	// Subject names what is measured, whatever the credentials: a reading of one
	// query holds for another of the same subject.
	Subject() string
	// String names the subject for people.
	String() string
	// Open makes the poller and does no I/O.
	Open() (Poller, error)
}

// Secrets reads the keys of Secrets that an object may use.
type Secrets interface {
	// Key gives the value of one key. Its error names the Secret and the key.
	Key(ctx context.Context, ref v1alpha1.SecretKey) ([]byte, error)
}

// Request is what a query is built from.
type Request struct {
	// Namespace is the object's, empty for an object that has none.
	Namespace string
	// Name is the object's.
	Name   string
	Source v1alpha1.Source
	// Kinds are the values that are wanted of the source: one that none of them
	// needs is not asked for.
	Kinds   []query.Kind
	Secrets Secrets
	// Timeout of one poll.
	Timeout time.Duration
}

// Builder turns objects into queries of one system.
type Builder interface {
	// Kind is the system's name, as in spec.source.
	Kind() string
	// Describe names the subject for people, or gives false where the source is
	// of another system.
	Describe(s v1alpha1.Source) (string, bool)
	// Build makes the query. It reads Secrets and nothing else; its error is an
	// *Error.
	Build(ctx context.Context, r Request) (Query, error)
}
