package natsjetstream

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "natsJetStream"

// Builder builds queries that share connections: one for each set of servers,
// credentials and TLS settings. It is a source.Builder.
type Builder struct{ pool *pool }

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder { return &Builder{pool: newPool()} }

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names stream and consumer.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.NATSJetStream == nil {
		return "", false
	}
	return Kind + " " + s.NATSJetStream.Stream + "/" + s.NATSJetStream.Consumer, true
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.NATSJetStream
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.natsJetStream is not set")
	}
	if err := checkServers(spec.Servers); err != nil {
		return nil, err
	}
	credentials, err := readCredentials(ctx, *spec, r.Secrets)
	if err != nil {
		return nil, err
	}
	q := &jsQuery{
		pool:     b.pool,
		link:     link{servers: slices.Clone(spec.Servers), credentials: credentials},
		domain:   spec.Domain,
		stream:   spec.Stream,
		consumer: spec.Consumer,
		oldest:   slices.Contains(r.Kinds, query.OldestAge),
	}
	q.link.key = access.Digest(q.link.servers, credentials.fingerprint())
	q.subject = access.Digest(q.link.servers, spec.Domain, spec.Stream, spec.Consumer)
	q.key = access.Digest(q.link.key, spec.Domain, spec.Stream, spec.Consumer, q.oldest)
	return q, nil
}

// checkServers repeats what the API's own rules say, since objects can be older
// than the rules, and since a password in a URL would be shown in messages.
func checkServers(servers []string) error {
	if len(servers) == 0 {
		return source.Errorf(source.ReasonInvalid, "spec.source.natsJetStream.servers is empty")
	}
	for i, server := range servers {
		u, err := url.Parse(server)
		switch {
		case err != nil || u.Host == "":
			return source.Errorf(source.ReasonInvalid, "spec.source.natsJetStream.servers[%d] is no URL such as nats://host:4222", i)
		case u.User != nil:
			return source.Errorf(source.ReasonInvalid, "spec.source.natsJetStream.servers[%d] holds a user or password: those go into credentials", i)
		case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			return source.Errorf(source.ReasonInvalid, "spec.source.natsJetStream.servers[%d] must begin with nats://, tls://, ws:// or wss://", i)
		}
	}
	return nil
}

// jsQuery is one consumer, read with one set of credentials.
type jsQuery struct {
	pool             *pool
	link             link
	domain           string
	stream, consumer string
	oldest           bool
	key, subject     string
}

func (q *jsQuery) Kind() string    { return Kind }
func (q *jsQuery) Key() string     { return q.key }
func (q *jsQuery) Subject() string { return q.subject }

func (q *jsQuery) String() string {
	return Kind + " " + q.stream + "/" + q.consumer + " at " + strings.Join(q.link.servers, ",")
}

// GoString keeps credentials out of %#v.
func (q *jsQuery) GoString() string { return q.String() }

// Open makes the poller. The connection is made by the first poll.
func (q *jsQuery) Open() (source.Poller, error) {
	return &poller{query: q, conn: q.pool.acquire(q.link)}, nil
}
