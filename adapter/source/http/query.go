package httpsource

import (
	"cmp"
	"context"
	"net/url"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
	"github.com/quartet-autoscaling/quartet/adapter/source/shared"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "http"

// Reasons that only this source has.
const (
	// reasonAmbiguous: several values in a document could be the one.
	reasonAmbiguous = "AmbiguousReply"
	// reasonNotListed: which pods there are is not known.
	reasonNotListed = "PodsNotListed"
	// reasonNotReached: a Ready pod did not answer, or not with a document.
	reasonNotReached = "PodsNotReached"
	// reasonWithoutValue: some pods have the value and others do not.
	reasonWithoutValue = "PodsWithoutValue"
)

// Builder builds queries of documents, which share connections: one set for each
// way to authenticate and TLS settings. It is a source.Builder.
type Builder struct {
	pods    Pods
	clients *shared.Pool[*httpapi.Client]
}

// NewBuilder makes a Builder. Without pods it refuses objects that read them.
func NewBuilder(pods Pods) *Builder {
	return &Builder{pods: pods, clients: shared.NewPool[*httpapi.Client]()}
}

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names the value and where it is.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.HTTP == nil {
		return "", false
	}
	what, where := cmp.Or(s.HTTP.JSONPath, s.HTTP.OpenMetrics), shownURL(s.HTTP.URL)
	if pods := s.HTTP.Pods; pods != nil {
		where = "pods " + metav1.FormatLabelSelector(&pods.Selector)
	}
	return Kind + " " + what + " at " + where, true
}

// shownURL leaves out what a URL can hold beside the place of the document.
func shownURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the server"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// Build checks the object and reads its Secrets.
func (b *Builder) Build(ctx context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.HTTP
	switch {
	case spec == nil:
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.http is not set")
	case (spec.URL == "") == (spec.Pods == nil):
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.http must have exactly one of url, pods")
	}
	text, _ := b.Describe(r.Source)
	q := &httpQuery{clients: b.clients, text: text}
	var err error
	if q.extractor, err = newExtractor(*spec); err != nil {
		return nil, err
	}
	if spec.Pods != nil {
		if q.group, err = b.group(r.Namespace, *spec.Pods); err != nil {
			return nil, err
		}
	} else {
		if err := httpapi.CheckURL("spec.source.http.url", spec.URL); err != nil {
			return nil, err
		}
		q.url = spec.URL
	}
	reader := access.NewReader(ctx, r.Secrets)
	q.auth, q.tls = httpapi.ReadAuth(reader, spec.Auth), reader.TLS(spec.TLS)
	if reader.Err() != nil {
		return nil, reader.Err()
	}
	q.subject = access.Digest(q.url, q.group.parts(), spec.JSONPath, spec.TimestampPath, spec.OpenMetrics)
	q.link = access.Digest(q.auth.Digest(), q.tls)
	q.key = access.Digest(q.subject, q.link)
	return q, nil
}

func newExtractor(spec v1alpha1.HTTPSource) (extractor, error) {
	if (spec.JSONPath == "") == (spec.OpenMetrics == "") {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.http must have exactly one of jsonPath, openMetrics")
	}
	if spec.OpenMetrics != "" {
		return newSeriesExtractor(spec.OpenMetrics)
	}
	return newJSONExtractor(spec.JSONPath, spec.TimestampPath)
}

// group checks which pods an object means.
func (b *Builder) group(namespace string, spec v1alpha1.HTTPPods) (*group, error) {
	const field = "spec.source.http.pods"
	selector, err := metav1.LabelSelectorAsSelector(&spec.Selector)
	switch {
	case err != nil:
		return nil, source.Errorf(source.ReasonInvalid, "%s.selector cannot be used: %v", field, err)
	case selector.Empty():
		return nil, source.Errorf(source.ReasonInvalid, "%s.selector is empty: it would choose every pod of the namespace", field)
	case namespace == "":
		return nil, source.Errorf(source.ReasonInvalid, "%s needs an object that has a namespace: use a MetricSource", field)
	case b.pods == nil:
		return nil, source.Errorf(source.ReasonInvalid, "%s cannot be read here: there is no cluster to list them in", field)
	case spec.Port.Type == intstr.Int && (spec.Port.IntVal < 1 || spec.Port.IntVal > 65535):
		return nil, source.Errorf(source.ReasonInvalid, "%s.port is no port", field)
	case spec.Port.Type == intstr.String && spec.Port.StrVal == "":
		return nil, source.Errorf(source.ReasonInvalid, "%s.port is empty", field)
	}
	g := &group{
		pods: b.pods, namespace: namespace, selector: selector, port: spec.Port,
		scheme: cmp.Or(spec.Scheme, "http"), path: cmp.Or(spec.Path, "/metrics"),
		aggregate: cmp.Or(spec.Aggregate, sum), ignore: spec.MissingPods == "Ignore",
	}
	if !strings.HasPrefix(g.path, "/") {
		return nil, source.Errorf(source.ReasonInvalid, "%s.path must begin with a slash", field)
	}
	if _, known := aggregates[g.aggregate]; !known {
		return nil, source.Errorf(source.ReasonInvalid, "%s.aggregate must be one of Sum, Average, Max, Min", field)
	}
	return g, nil
}

// group is the pods that are read, and how their values become one.
type group struct {
	pods      Pods
	namespace string
	selector  labels.Selector
	port      intstr.IntOrString
	// scheme and path, which begins with a slash, of each pod's document.
	scheme, path string
	aggregate    string
	// ignore leaves out pods that give no value.
	ignore bool
}

// parts tell two groups apart; nil for none.
func (g *group) parts() []string {
	if g == nil {
		return nil
	}
	return []string{
		g.namespace, g.selector.String(), strconv.Itoa(int(g.port.Type)), g.port.String(),
		g.scheme, g.path, g.aggregate, strconv.FormatBool(g.ignore),
	}
}

// httpQuery is one value of one document, or of the documents of a group of pods,
// read with one set of credentials.
type httpQuery struct {
	clients   *shared.Pool[*httpapi.Client]
	text      string
	extractor extractor
	// url is empty where there is a group.
	url   string
	group *group
	auth  httpapi.Auth
	tls   access.TLS
	// link is equal for queries that can share connections.
	link         string
	key, subject string
}

func (q *httpQuery) Kind() string    { return Kind }
func (q *httpQuery) Key() string     { return q.key }
func (q *httpQuery) Subject() string { return q.subject }
func (q *httpQuery) String() string  { return q.text }

// Server is the server, or the pods, whose limits queries share.
func (q *httpQuery) Server() string {
	if q.group != nil {
		return "pods " + q.group.selector.String() + " of namespace " + q.group.namespace
	}
	return httpapi.Server(q.url)
}

// GoString keeps credentials out of %#v.
func (q *httpQuery) GoString() string { return q.text }

// Open makes the poller. Connections are made by polls.
func (q *httpQuery) Open() (source.Poller, error) {
	d := documents{extractor: q.extractor}
	d.client, d.release = q.clients.Acquire(q.link,
		func() *httpapi.Client { return httpapi.New(q.auth, q.tls) }, (*httpapi.Client).Close)
	if q.group != nil {
		return &podsPoller{documents: d, group: q.group}, nil
	}
	return &urlPoller{documents: d, url: q.url}, nil
}
