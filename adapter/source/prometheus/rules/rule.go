package rules

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// defaultQuery is the query of a rule that has none.
const defaultQuery = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"

// Rule is one rule whose templates and regular expressions were read.
type Rule struct {
	// Series is the selector of the series, in PromQL.
	Series string
	// Labels of the series are kept beside those that name the object.
	Labels []string

	filters []filter
	naming  naming
	labels  labelling
	query   *queryTemplate
}

// filter is a regular expression that a series' name must match, or must not.
type filter struct {
	expression *regexp.Regexp
	want       bool
}

// Compile reads a rule. Its error names the field below field, and where in a
// template or an expression it is wrong.
func Compile(spec v1alpha1.PrometheusRule, field string) (*Rule, error) {
	r := &Rule{Series: spec.Series, Labels: slices.Clone(spec.Labels)}
	for i, f := range spec.Filters {
		compiled, err := compileFilter(f)
		if err != nil {
			return nil, fmt.Errorf("%s.filters[%d]: %w", field, i, err)
		}
		r.filters = append(r.filters, compiled)
	}
	var err error
	if r.naming, err = compileNaming(spec.Name); err != nil {
		return nil, fmt.Errorf("%s.name: %w", field, err)
	}
	if r.labels, err = compileLabelling(spec.Resources); err != nil {
		return nil, fmt.Errorf("%s.resources: %w", field, err)
	}
	text := spec.Query
	if text == "" {
		text = defaultQuery
	}
	if r.query, err = compileQuery(text); err != nil {
		return nil, fmt.Errorf("%s.query: %w", field, err)
	}
	return r, nil
}

func compileFilter(f v1alpha1.PrometheusFilter) (filter, error) {
	if (f.Is == "") == (f.IsNot == "") {
		return filter{}, fmt.Errorf("must have exactly one of is, isNot")
	}
	expression, err := regexp.Compile(f.Is + f.IsNot) // one of them is empty
	if err != nil {
		return filter{}, fmt.Errorf("reading a regular expression: %w", err)
	}
	return filter{expression: expression, want: f.Is != ""}, nil
}

// Keeps tells whether a series of this name passes all filters.
func (r *Rule) Keeps(series string) bool {
	for _, f := range r.filters {
		if f.expression.MatchString(series) != f.want {
			return false
		}
	}
	return true
}

// naming makes metrics' names of series' names.
type naming struct {
	matches *regexp.Regexp
	as      string
}

// metricName is what the API takes for a metric's name.
var metricName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_:.-]*$`)

const longestMetric = 253

func compileNaming(spec *v1alpha1.PrometheusName) (naming, error) {
	n := naming{}
	expression := ".*"
	if spec != nil {
		n.as = spec.As
		if spec.Matches != "" {
			expression = spec.Matches
		}
	}
	var err error
	if n.matches, err = regexp.Compile(expression); err != nil {
		return naming{}, fmt.Errorf("matches: reading a regular expression: %w", err)
	}
	if n.as != "" {
		return n, nil
	}
	switch n.matches.NumSubexp() {
	case 0:
		n.as = "${0}"
	case 1:
		n.as = "${1}"
	default:
		return naming{}, fmt.Errorf("as is needed, since matches has %d groups", n.matches.NumSubexp())
	}
	return n, nil
}

// Metric gives the name of the metric of a series; false where the rule is not
// about a series of this name. A name that no API takes is an error.
func (r *Rule) Metric(series string) (name string, ok bool, err error) {
	found := r.naming.matches.FindStringSubmatchIndex(series)
	if found == nil {
		return "", false, nil
	}
	name = string(r.naming.matches.ExpandString(nil, r.naming.as, series, found))
	if len(name) > longestMetric || !metricName.MatchString(name) {
		return "", false, fmt.Errorf("series %s becomes %q, which is no name of a metric", series, shorten(name))
	}
	return name, true, nil
}

// shorten keeps a text of someone else's to a length that a message can bear.
func shorten(text string) string {
	const longest = 80
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}
