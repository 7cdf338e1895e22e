package kafka

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
const Kind = "kafka"

// Builder builds queries that share clients: one for each set of brokers,
// credentials and TLS settings. It is a source.Builder.
type Builder struct{ pool *pool }

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder { return &Builder{pool: newPool()} }

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names the group, and its topics where the object does.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.Kafka == nil {
		return "", false
	}
	return Kind + " " + groupOf(*s.Kafka).String(), true
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.Kafka
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.kafka is not set")
	}
	if err := check(*spec); err != nil {
		return nil, err
	}
	reader := access.NewReader(ctx, r.Secrets)
	l := link{brokers: slices.Clone(spec.Brokers), tls: reader.TLS(spec.TLS)}
	if spec.SASL != nil {
		l.mechanism, l.basic = spec.SASL.Mechanism, reader.Basic(&spec.SASL.BasicAuth)
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	l.key = access.Digest(l.brokers, l.mechanism, l.basic, l.tls)
	q := &kafkaQuery{pool: b.pool, link: l, group: groupOf(*spec), oldest: slices.Contains(r.Kinds, query.OldestAge)}
	what := []any{q.group.name, q.group.topics, q.group.partitions, q.group.latest, q.group.perWorker}
	q.subject = access.Digest(l.brokers, what)
	q.key = access.Digest(l.key, what, q.oldest)
	return q, nil
}

// check repeats what the API's own rules say, since objects can be older than
// the rules.
func check(spec v1alpha1.KafkaSource) error {
	if len(spec.Brokers) == 0 {
		return source.Errorf(source.ReasonInvalid, "spec.source.kafka.brokers is empty")
	}
	for i, broker := range spec.Brokers {
		host, port, err := net.SplitHostPort(broker)
		number, bad := strconv.Atoi(port)
		if err != nil || host == "" || bad != nil || number < 1 || number > 65535 || strings.ContainsAny(broker, "@/ ") {
			return source.Errorf(source.ReasonInvalid, "spec.source.kafka.brokers[%d] is no address such as kafka:9092", i)
		}
	}
	switch {
	case spec.Group == "":
		return source.Errorf(source.ReasonInvalid, "spec.source.kafka.group is empty")
	case len(spec.Partitions) > 0 && len(spec.Topics) != 1:
		return source.Errorf(source.ReasonInvalid, "spec.source.kafka.partitions needs exactly one topic")
	case spec.OffsetReset != "" && spec.OffsetReset != earliest && spec.OffsetReset != latest:
		return source.Errorf(source.ReasonInvalid, "spec.source.kafka.offsetReset must be Earliest or Latest")
	case spec.LimitToPartitions != nil && spec.LimitToPartitions.MessagesPerWorker < 1:
		return source.Errorf(source.ReasonInvalid, "spec.source.kafka.limitToPartitions.messagesPerWorker must be 1 or more")
	case spec.SASL != nil && mechanisms[spec.SASL.Mechanism] == nil:
		return source.Errorf(source.ReasonInvalid, "spec.source.kafka.sasl.mechanism must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	}
	return nil
}

// The values of offsetReset.
const (
	earliest = "Earliest"
	latest   = "Latest"
)

// group is what is read: a consumer group, or a part of it.
type group struct {
	name string
	// topics and partitions are empty where all are read.
	topics     []string
	partitions []int32
	// latest tells that the group skips what it has no offset for.
	latest bool
	// perWorker is the work that one worker takes, 0 without a limit.
	perWorker int64
}

func groupOf(spec v1alpha1.KafkaSource) group {
	g := group{name: spec.Group, topics: slices.Sorted(slices.Values(spec.Topics)), partitions: slices.Sorted(slices.Values(spec.Partitions))}
	g.latest = spec.OffsetReset == latest
	if limit := spec.LimitToPartitions; limit != nil {
		g.perWorker = int64(limit.MessagesPerWorker)
	}
	return g
}

func (g group) String() string {
	if len(g.topics) == 0 {
		return g.name
	}
	return g.name + "/" + strings.Join(g.topics, ",")
}

// kafkaQuery is one group, read with one set of credentials.
type kafkaQuery struct {
	pool         *pool
	link         link
	group        group
	oldest       bool
	key, subject string
}

func (q *kafkaQuery) Kind() string    { return Kind }
func (q *kafkaQuery) Key() string     { return q.key }
func (q *kafkaQuery) Subject() string { return q.subject }

func (q *kafkaQuery) String() string {
	return Kind + " " + q.group.String() + " at " + strings.Join(q.link.brokers, ",")
}

// GoString keeps credentials out of %#v.
func (q *kafkaQuery) GoString() string { return q.String() }

// Open makes the poller. Connections are made by the first poll.
func (q *kafkaQuery) Open() (source.Poller, error) {
	return &poller{query: q, client: q.pool.acquire(q.link)}, nil
}
