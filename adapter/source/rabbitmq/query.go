package rabbitmq

import (
	"cmp"
	"context"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
	"github.com/quartet-autoscaling/quartet/adapter/source/shared"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "rabbitMQ"

const (
	// field names the source in messages.
	field = "spec.source.rabbitMQ"
	// defaultUser is both name and password of the user that a broker begins with,
	// and admits from loopback only.
	defaultUser = "guest"
	// defaultStatisticsAge is twice five seconds: the broker's queues count so often,
	// and so often does the management API gather what they counted.
	defaultStatisticsAge = 10 * time.Second
)

// Builder builds queries that share connections: one for each broker, virtual
// host, credentials and TLS settings. It is a source.Builder.
type Builder struct {
	conns   *shared.Pool[*sharedConn]
	clients *shared.Pool[*httpapi.Client]
}

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder {
	return &Builder{conns: shared.NewPool[*sharedConn](), clients: shared.NewPool[*httpapi.Client]()}
}

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names the queue or the pattern.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.RabbitMQ == nil {
		return "", false
	}
	return describe(*s.RabbitMQ), true
}

func describe(spec v1alpha1.RabbitMQSource) string {
	text := Kind + " " + spec.Queue
	if spec.QueuePattern != "" {
		text = Kind + " queues " + spec.QueuePattern
	}
	if vhost := vhostOf(spec); vhost != "/" {
		text += " of vhost " + vhost
	}
	return text
}

func vhostOf(spec v1alpha1.RabbitMQSource) string { return cmp.Or(spec.VHost, "/") }

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.RabbitMQ
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "%s is not set", field)
	}
	address, err := check(*spec)
	if err != nil {
		return nil, err
	}
	reader := access.NewReader(ctx, r.Secrets)
	q := &rabbitQuery{
		builder: b, text: describe(*spec) + " at " + spec.URL,
		queue: spec.Queue, classic: spec.QueueType == v1alpha1.QueueTypeClassic,
		link: link{
			address: address, root: spec.URL, vhost: vhostOf(*spec),
			basic: reader.Basic(spec.Credentials), tls: reader.TLS(spec.TLS),
			external: spec.Credentials == nil && spec.TLS != nil && spec.TLS.ClientCertificate != nil,
		},
		statisticsAge: defaultStatisticsAge,
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	if spec.Credentials == nil {
		q.link.basic = access.Basic{User: access.NewSecret(defaultUser), Password: access.NewSecret(defaultUser)}
	}
	if spec.StatisticsAge != nil {
		q.statisticsAge = max(0, spec.StatisticsAge.Duration)
	}
	if q.pattern, err = compile(spec.QueuePattern); err != nil {
		return nil, err
	}
	q.link.key = access.Digest(spec.URL, q.link.vhost, q.link.basic, q.link.tls, q.link.external)
	q.subject = access.Digest(spec.URL, q.link.vhost, spec.Queue, spec.QueuePattern)
	q.key = access.Digest(q.link.key, spec.Queue, spec.QueuePattern, q.statisticsAge, q.classic)
	return q, nil
}

// check repeats what the API's own rules say, since objects can be older than the
// rules, and since a password in a URL would be shown in messages.
func check(spec v1alpha1.RabbitMQSource) (*url.URL, error) {
	u, err := url.Parse(spec.URL)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, source.Errorf(source.ReasonInvalid, "%s.url is no URL such as amqp://host:5672 or http://host:15672", field)
	case u.User != nil:
		return nil, source.Errorf(source.ReasonInvalid, "%s.url holds a user or password: those go into credentials", field)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, source.Errorf(source.ReasonInvalid, "%s.url holds a query or a fragment: give the address alone", field)
	case !isAMQP(u) && u.Scheme != "http" && u.Scheme != "https":
		return nil, source.Errorf(source.ReasonInvalid, "%s.url must begin with amqp://, amqps://, http:// or https://", field)
	case isAMQP(u) && strings.Trim(u.Path, "/") != "":
		return nil, source.Errorf(source.ReasonInvalid, "%s.url holds a path: the virtual host goes into vhost", field)
	case spec.TLS != nil && u.Scheme != "amqps" && u.Scheme != "https":
		return nil, source.Errorf(source.ReasonInvalid, "%s.tls needs a url that begins with amqps:// or https://", field)
	case (spec.Queue == "") == (spec.QueuePattern == ""):
		return nil, source.Errorf(source.ReasonInvalid, "%s must have exactly one of queue, queuePattern", field)
	case spec.QueuePattern != "" && isAMQP(u):
		return nil, source.Errorf(source.ReasonInvalid, "%s.queuePattern needs the management API: give url as http:// or https://", field)
	}
	return u, nil
}

func isAMQP(u *url.URL) bool { return u.Scheme == "amqp" || u.Scheme == "amqps" }

// pattern chooses queues by their whole names.
type pattern struct {
	whole *regexp.Regexp
	// prefix is what every name that matches begins with.
	prefix string
}

// compile gives nil for no pattern.
func compile(text string) (*pattern, error) {
	if text == "" {
		return nil, nil
	}
	plain, err := regexp.Compile(text)
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "%s.queuePattern is no regular expression: %v", field, err)
	}
	// What compiles alone compiles in a group.
	whole, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "%s.queuePattern is no regular expression: %v", field, err)
	}
	prefix, _ := plain.LiteralPrefix()
	return &pattern{whole: whole, prefix: prefix}, nil
}

// link is where and how to connect.
type link struct {
	address *url.URL
	// root is the address as the object has it.
	root  string
	vhost string
	basic access.Basic
	tls   access.TLS
	// external: the client's certificate is who it is, where the broker offers that.
	external bool
	// key is equal for links that can share a connection.
	key string
}

// failure says in our words why the broker was not reached.
func (l link) failure(err error) *source.Error {
	return access.Failure(l.server(), err, l.basic.Password, l.basic.User)
}

// server names the broker for people.
func (l link) server() string { return l.address.Scheme + "://" + l.address.Host }

// rabbitQuery is one queue or one pattern, read with one set of credentials.
type rabbitQuery struct {
	builder *Builder
	link    link
	// queue is empty where pattern is not nil.
	queue   string
	pattern *pattern
	// classic: the queue's word is its own even where it is empty and has no
	// consumers.
	classic       bool
	statisticsAge time.Duration
	text          string
	key, subject  string
}

func (q *rabbitQuery) Kind() string    { return Kind }
func (q *rabbitQuery) Key() string     { return q.key }
func (q *rabbitQuery) Subject() string { return q.subject }
func (q *rabbitQuery) String() string  { return q.text }
func (q *rabbitQuery) Server() string  { return q.link.server() }

// GoString keeps credentials out of %#v.
func (q *rabbitQuery) GoString() string { return q.text }

// Open makes the poller. The connection is made by the first poll.
func (q *rabbitQuery) Open() (source.Poller, error) {
	if isAMQP(q.link.address) {
		return newAMQPPoller(q), nil
	}
	return newManagementPoller(q), nil
}
