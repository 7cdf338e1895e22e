package redis

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "redis"

// Builder builds queries that share connections: one set for each set of
// addresses, credentials and TLS settings. It is a source.Builder.
type Builder struct{ pool *pool }

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder { return &Builder{pool: newPool()} }

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names the list, or the stream and its group.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.Redis == nil {
		return "", false
	}
	return Kind + " " + keyOf(*s.Redis).String(), true
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.Redis
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.redis is not set")
	}
	if err := check(*spec); err != nil {
		return nil, err
	}
	reader := access.NewReader(ctx, r.Secrets)
	l := link{
		topology: topology(spec.Topology), addresses: slices.Clone(spec.Addresses),
		masterName: spec.SentinelMaster, database: int(spec.Database),
		basic: reader.Basic(spec.Credentials), sentinel: reader.Basic(spec.SentinelCredentials),
		tls: reader.TLS(spec.TLS),
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	where := []any{l.topology, l.addresses, l.masterName, l.database}
	l.key = access.Digest(where, l.basic, l.sentinel, l.tls)
	q := &redisQuery{
		pool: b.pool, link: l, subject: keyOf(*spec),
		oldest: slices.Contains(r.Kinds, query.OldestAge), events: spec.KeyspaceEvents,
	}
	q.subjectKey = access.Digest(where, q.subject.key, q.subject.group)
	q.key = access.Digest(l.key, q.subject.key, q.subject.group, q.oldest, q.events)
	return q, nil
}

// check repeats what the API's own rules say, since objects can be older than
// the rules.
func check(spec v1alpha1.RedisSource) error {
	if len(spec.Addresses) == 0 {
		return source.Errorf(source.ReasonInvalid, "spec.source.redis.addresses is empty")
	}
	for i, address := range spec.Addresses {
		host, port, err := net.SplitHostPort(address)
		number, bad := strconv.Atoi(port)
		if err != nil || host == "" || bad != nil || number < 1 || number > 65535 || strings.ContainsAny(address, "@/ ") {
			return source.Errorf(source.ReasonInvalid, "spec.source.redis.addresses[%d] is no address such as redis:6379", i)
		}
	}
	switch t := topology(spec.Topology); {
	case (spec.List == "") == (spec.Stream == nil):
		return source.Errorf(source.ReasonInvalid, "spec.source.redis must have exactly one of list, stream")
	case spec.Stream != nil && (spec.Stream.Key == "" || spec.Stream.Group == ""):
		return source.Errorf(source.ReasonInvalid, "spec.source.redis.stream needs a key and a group")
	case t == single && len(spec.Addresses) > 1:
		return source.Errorf(source.ReasonInvalid, "spec.source.redis has several addresses: set topology to Sentinel or Cluster")
	case (t == sentinels) != (spec.SentinelMaster != ""):
		return source.Errorf(source.ReasonInvalid, "spec.source.redis: sentinelMaster and topology Sentinel go together")
	case t != single && t != sentinels && t != cluster:
		return source.Errorf(source.ReasonInvalid, "spec.source.redis.topology must be Single, Sentinel or Cluster")
	case t == cluster && spec.Database != 0:
		return source.Errorf(source.ReasonInvalid, "spec.source.redis.database must be 0 in a cluster, which has no other")
	}
	return nil
}

// subject is what is read: a list, or a stream as a group sees it.
type subject struct {
	key string
	// group is empty for a list.
	group string
}

func keyOf(spec v1alpha1.RedisSource) subject {
	if spec.Stream != nil {
		return subject{key: spec.Stream.Key, group: spec.Stream.Group}
	}
	return subject{key: spec.List}
}

func (s subject) isList() bool { return s.group == "" }

func (s subject) String() string {
	if s.isList() {
		return s.key
	}
	return s.key + "/" + s.group
}

// redisQuery is one list or one group, read with one set of credentials.
type redisQuery struct {
	pool           *pool
	link           link
	subject        subject
	oldest, events bool
	key            string
	subjectKey     string
}

func (q *redisQuery) Kind() string    { return Kind }
func (q *redisQuery) Key() string     { return q.key }
func (q *redisQuery) Subject() string { return q.subjectKey }

func (q *redisQuery) String() string {
	return Kind + " " + q.subject.String() + " at " + strings.Join(q.link.addresses, ",")
}

// GoString keeps credentials out of %#v.
func (q *redisQuery) GoString() string { return q.String() }

// Open makes the poller, which is a source.Pusher where the object asks for
// events. Connections are made by the first poll.
func (q *redisQuery) Open() (source.Poller, error) {
	p := &poller{query: q, servers: q.pool.acquire(q.link)}
	if q.events {
		return &pusher{poller: p}, nil
	}
	return p, nil
}
