package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/promql"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "prometheus"

// shownQuery is how much of a query names it for people, in characters.
const shownQuery = 60

// Builder builds queries that share connections: one set for each list of servers,
// credentials and TLS settings. It is a source.Builder.
type Builder struct {
	pool   *pool
	mapper rules.Mapper
}

// NewBuilder makes a Builder without any connection. Rules ask the mapper for the
// kinds of objects that their labels name; nil knows those of every cluster.
func NewBuilder(mapper rules.Mapper) *Builder {
	if mapper == nil {
		mapper = rules.Builtin{}
	}
	return &Builder{pool: newPool(), mapper: mapper}
}

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names the query.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.Prometheus == nil {
		return "", false
	}
	return describe(s.Prometheus), true
}

func describe(spec *v1alpha1.PrometheusSource) string {
	if len(spec.Rules) > 0 {
		return fmt.Sprintf("%s rules (%d)", Kind, len(spec.Rules))
	}
	text := strings.Join(strings.Fields(spec.Query), " ")
	if runes := []rune(text); len(runes) > shownQuery {
		text = string(runes[:shownQuery]) + "..."
	}
	return Kind + " " + text
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.Prometheus
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.prometheus is not set")
	}
	l, err := readLink(ctx, spec, r.Secrets)
	if err != nil {
		return nil, err
	}
	if len(spec.Rules) > 0 {
		return b.buildRules(spec, l, r.Namespace)
	}
	q := &promQuery{pool: b.pool, link: l, name: describe(spec), text: spec.Query}
	if strings.TrimSpace(spec.Query) == "" {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.prometheus.query is empty")
	}
	if q.timeGiven = spec.SampledAt != ""; q.timeGiven {
		q.dataTime = spec.SampledAt
	} else {
		q.dataTime, _ = promql.DataTime(spec.Query, nil)
	}
	q.subject = access.Digest(l.urls, l.transport.Header, q.text, q.dataTime)
	q.key = access.Digest(l.key, q.text, q.dataTime, q.timeGiven)
	return q, nil
}

// readLink reads where and how to ask.
func readLink(ctx context.Context, spec *v1alpha1.PrometheusSource, secrets source.Secrets) (link, error) {
	if len(spec.URLs) == 0 {
		return link{}, source.Errorf(source.ReasonInvalid, "spec.source.prometheus.urls is empty")
	}
	for i, url := range spec.URLs {
		if err := httpapi.CheckURL(fmt.Sprintf("spec.source.prometheus.urls[%d]", i), url); err != nil {
			return link{}, err
		}
	}
	reader := access.NewReader(ctx, secrets)
	l := link{urls: slices.Clone(spec.URLs), transport: httpapi.TransportConfig{
		Auth: httpapi.ReadAuth(reader, spec.Auth), TLS: reader.TLS(spec.TLS), Connections: connections,
	}}
	if err := reader.Err(); err != nil {
		return link{}, err
	}
	for name, value := range spec.Headers {
		if l.transport.Header == nil {
			l.transport.Header = http.Header{}
		}
		l.transport.Header.Set(name, value)
	}
	l.key = l.digest()
	return l, nil
}

// promQuery is one instant query, asked with one set of credentials.
type promQuery struct {
	pool *pool
	link link
	// name is the query for people.
	name, text string
	// dataTime is the query for the time of the data that text reads, empty where
	// that is the time of the evaluation; timeGiven tells that the object names it.
	dataTime     string
	timeGiven    bool
	key, subject string
}

func (q *promQuery) Kind() string    { return Kind }
func (q *promQuery) Key() string     { return q.key }
func (q *promQuery) Subject() string { return q.subject }
func (q *promQuery) String() string  { return q.name + " at " + q.Server() }

// Server names the servers.
func (q *promQuery) Server() string { return q.link.names() }

// GoString keeps credentials out of %#v.
func (q *promQuery) GoString() string { return q.String() }

// Open makes the poller. Connections are made by polls.
func (q *promQuery) Open() (source.Poller, error) {
	servers, err := q.pool.acquire(q.link)
	if err != nil {
		return nil, err
	}
	return &valuePoller{query: q, servers: servers}, nil
}
