package prometheus

import (
	"fmt"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/promql"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// rulesField is where rules are in an object.
const rulesField = "spec.source.prometheus.rules"

// rulesQuery is a list of rules, asked with one set of credentials for the objects
// of one namespace, or of all.
type rulesQuery struct {
	pool *pool
	link link
	name string
	// namespace is that of the objects, empty for those of the whole cluster.
	namespace    string
	rules        []rule
	mapper       rules.Mapper
	key, subject string
}

// rule is one rule and what its series are selected by.
type rule struct {
	*rules.Rule
	// field names the rule for people.
	field    string
	selector promql.Selector
}

// buildRules reads the rules. A rule that cannot be read is a fault of the object,
// as the person who wrote it is the one to see it.
func (b *Builder) buildRules(spec *v1alpha1.PrometheusSource, l link, namespace string) (source.Query, error) {
	if spec.Query != "" || spec.SampledAt != "" {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.prometheus has query or sampledAt beside rules")
	}
	q := &rulesQuery{pool: b.pool, link: l, name: describe(spec), namespace: namespace, mapper: b.mapper}
	for i, r := range spec.Rules {
		read, err := readRule(r, fmt.Sprintf("%s[%d]", rulesField, i), namespace)
		if err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "%v", err)
		}
		read.field = fmt.Sprintf("rules[%d]", i)
		q.rules = append(q.rules, read)
	}
	q.subject = access.Digest(l.urls, l.transport.Header, namespace, spec.Rules)
	q.key = access.Digest(l.key, namespace, spec.Rules)
	return q, nil
}

func readRule(spec v1alpha1.PrometheusRule, field, namespace string) (rule, error) {
	compiled, err := rules.Compile(spec, field)
	if err != nil {
		return rule{}, err
	}
	selector, err := promql.ParseSelector(spec.Series)
	if err != nil {
		return rule{}, fmt.Errorf("%s.series: %w", field, err)
	}
	if namespace != "" {
		label, ok := compiled.NamespaceLabel()
		if !ok {
			return rule{}, fmt.Errorf("%s.resources: a MetricSource of a namespace needs the label of namespaces, such as overrides: {namespace: {resource: namespaces}}", field)
		}
		selector = selector.Equal(label, namespace)
	}
	return rule{Rule: compiled, selector: selector}, nil
}

func (q *rulesQuery) Kind() string    { return Kind }
func (q *rulesQuery) Key() string     { return q.key }
func (q *rulesQuery) Subject() string { return q.subject }
func (q *rulesQuery) String() string  { return q.name + " at " + q.Server() }

// Server names the servers.
func (q *rulesQuery) Server() string { return q.link.names() }

// GoString keeps credentials out of %#v.
func (q *rulesQuery) GoString() string { return q.String() }

// Open makes the poller. Connections are made by polls.
func (q *rulesQuery) Open() (source.Poller, error) {
	servers, err := q.pool.acquire(q.link)
	if err != nil {
		return nil, err
	}
	return &rulesPoller{query: q, servers: servers}, nil
}
