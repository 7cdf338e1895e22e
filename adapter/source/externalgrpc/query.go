package externalgrpc

import (
	"context"
	"maps"
	"net"
	"slices"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "externalGRPC"

// Active is 1 while the server says that there is something to do, and 0 while
// it says that there is not.
const Active query.Kind = "Active"

// Builder builds queries that share connections: one for each address and TLS
// settings. It is a source.Builder.
type Builder struct{ pool *pool }

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder { return &Builder{pool: newPool()} }

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names the server and the metric.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.ExternalGRPC == nil {
		return "", false
	}
	return describe(s.ExternalGRPC.MetricName, s.ExternalGRPC.Address), true
}

// describe ends with the address, by which queries of one server are known.
func describe(metric, address string) string {
	if metric == "" {
		return Kind + " at " + address
	}
	return Kind + " " + metric + " at " + address
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.ExternalGRPC
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.externalGRPC is not set")
	}
	// The API's own rules say the same; objects can be older than the rules.
	if host, port, err := net.SplitHostPort(spec.Address); err != nil || host == "" || port == "" {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.externalGRPC.address is no address such as scaler.shop.svc:6000")
	}
	reader := access.NewReader(ctx, r.Secrets)
	q := &grpcQuery{
		pool:   b.pool,
		link:   link{address: spec.Address, tls: reader.TLS(spec.TLS)},
		object: objectOf(r),
		metric: spec.MetricName, metadata: maps.Clone(spec.Metadata),
		value: len(r.Kinds) == 0 || slices.Contains(r.Kinds, query.Value), active: slices.Contains(r.Kinds, Active),
		push: spec.Push == nil || *spec.Push,
	}
	refs := map[string]v1alpha1.SecretKey{}
	for _, from := range spec.MetadataFrom {
		if _, twice := spec.Metadata[from.Name]; twice {
			return nil, source.Errorf(source.ReasonInvalid, "spec.source.externalGRPC has %s in metadata and in metadataFrom", from.Name)
		}
		q.hidden = append(q.hidden, entry{name: from.Name, value: reader.Text(&from.SecretKey)})
		refs[from.Name] = from.SecretKey
	}
	if reader.Err() != nil {
		return nil, reader.Err()
	}
	q.link.key = access.Digest(spec.Address, q.link.tls)
	q.subject = access.Digest(spec.Address, q.object, spec.MetricName, spec.Metadata, refs)
	parts := []any{q.link.key, q.object, spec.MetricName, spec.Metadata, q.value, q.active, q.push}
	for _, e := range q.hidden {
		parts = append(parts, e.name, e.value)
	}
	q.key = access.Digest(parts...)
	return q, nil
}

// objectOf is what the server is told that it is asked for.
func objectOf(r source.Request) v1alpha1.ScaledObjectName {
	object := v1alpha1.ScaledObjectName{Name: r.Name, Namespace: r.Namespace}
	if given := r.Source.ExternalGRPC.ScaledObject; given != nil {
		object.Name = given.Name
		if given.Namespace != "" {
			object.Namespace = given.Namespace
		}
	}
	return object
}

// entry is one piece of metadata that is not shown.
type entry struct {
	name  string
	value access.Secret
}

// grpcQuery is one metric of one server, asked with one set of metadata.
type grpcQuery struct {
	pool     *pool
	link     link
	object   v1alpha1.ScaledObjectName
	metric   string
	metadata map[string]string
	hidden   []entry
	// value and active say what is asked for.
	value, active bool
	push          bool
	key, subject  string
}

func (q *grpcQuery) Kind() string    { return Kind }
func (q *grpcQuery) Key() string     { return q.key }
func (q *grpcQuery) Subject() string { return q.subject }
func (q *grpcQuery) Server() string  { return q.link.address }
func (q *grpcQuery) String() string  { return describe(q.metric, q.link.address) }

// GoString keeps credentials out of %#v.
func (q *grpcQuery) GoString() string { return q.String() }

// ref is what every request of the protocol begins with. It holds the credentials.
func (q *grpcQuery) ref() *externalscaler.ScaledObjectRef {
	metadata := make(map[string]string, len(q.metadata)+len(q.hidden))
	maps.Copy(metadata, q.metadata)
	for _, e := range q.hidden {
		metadata[e.name] = e.value.Reveal()
	}
	return &externalscaler.ScaledObjectRef{Name: q.object.Name, Namespace: q.object.Namespace, ScalerMetadata: metadata}
}

// Open makes the poller. The connection is made by the first poll.
func (q *grpcQuery) Open() (source.Poller, error) {
	conn, err := q.pool.acquire(q.link)
	if err != nil {
		return nil, err
	}
	p := &poller{query: q, conn: conn, client: externalscaler.NewExternalScalerClient(conn.grpc)}
	if q.push {
		return &pusher{p}, nil
	}
	return p, nil
}
