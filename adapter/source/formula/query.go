package formula

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Kind is this source's name in spec.source.
const Kind = "formula"

// ReasonInput says that an input has no value that may be served.
const ReasonInput = "InputNotServed"

// Values are the metrics that formulas read.
type Values interface {
	// Value gives a metric of a namespace as a client would be given it, with the
	// time at which it was measured, or the fault why it is not served.
	Value(namespace, metric string) (value float64, at time.Time, fault *decision.Fault)
	// Watch calls changed after every change of the metric until stop is called.
	// Calls may come at any time and overlap.
	Watch(namespace, metric string, changed func()) (stop func())
}

// Builder builds queries over the metrics that are served. It is a
// source.Builder.
type Builder struct{ values Values }

// NewBuilder makes a Builder.
func NewBuilder(values Values) *Builder { return &Builder{values: values} }

// Kind is this source's name.
func (b *Builder) Kind() string { return Kind }

// namesShown is how many of a formula's metrics its description names.
const namesShown = 3

// Describe names the first metrics that the formula reads.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.Formula == nil {
		return "", false
	}
	return describe(s.Formula.Inputs), true
}

func describe(inputs []v1alpha1.FormulaInput) string {
	var names []string
	for _, i := range inputs[:min(len(inputs), namesShown)] {
		names = append(names, i.Metric)
	}
	text := Kind + " of " + strings.Join(names, ", ")
	if more := len(inputs) - namesShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Build compiles the expression.
func (b *Builder) Build(_ context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.Formula
	switch {
	case spec == nil:
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.formula is not set")
	case r.Namespace == "":
		return nil, source.Errorf(source.ReasonInvalid, "a formula reads metrics of its own namespace: declare it in a MetricSource, not in a ClusterMetricSource")
	}
	names := make([]string, 0, len(spec.Inputs))
	for _, i := range spec.Inputs {
		names = append(names, i.Name)
	}
	program, err := compile(spec.Expression, names)
	if err != nil {
		return nil, err
	}
	return &formulaQuery{
		values: b.values, namespace: r.Namespace, inputs: slices.Clone(spec.Inputs), program: program,
		key: access.Digest(r.Namespace, spec.Expression, spec.Inputs),
	}, nil
}

// formulaQuery is one expression over metrics of one namespace.
type formulaQuery struct {
	values    Values
	namespace string
	inputs    []v1alpha1.FormulaInput
	program   *program
	key       string
}

func (q *formulaQuery) Kind() string    { return Kind }
func (q *formulaQuery) Key() string     { return q.key }
func (q *formulaQuery) Subject() string { return q.key }
func (q *formulaQuery) String() string  { return describe(q.inputs) }

// Open makes the poller.
func (q *formulaQuery) Open() (source.Poller, error) {
	return &poller{query: q, seen: make([]input, len(q.inputs))}, nil
}
