package promql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// nameLabel is the label that holds a series' name.
const nameLabel = "__name__"

// Selector is a series selector that was read.
type Selector struct{ matchers []*labels.Matcher }

// ParseSelector reads a selector such as up{job="a"}. Its error says where in the
// text it is wrong.
func ParseSelector(text string) (Selector, error) {
	matchers, err := newParser().ParseMetricSelector(text)
	if err != nil {
		return Selector{}, fmt.Errorf("reading a selector: %w", err)
	}
	if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches("") }) {
		return Selector{}, errors.New("reading a selector: it selects everything: name a series or a label's value")
	}
	return Selector{matchers: matchers}, nil
}

// Check tells where a query is no PromQL.
func Check(query string) error {
	_, err := newParser().ParseExpr(query)
	if err != nil {
		return fmt.Errorf("reading a query: %w", err)
	}
	return nil
}

// newParser reads what servers accept without flags of their own.
func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// Named narrows the selector to the series of one name.
func (s Selector) Named(name string) Selector { return s.Equal(nameLabel, name) }

// Equal narrows the selector to the series whose label has one value.
func (s Selector) Equal(label, value string) Selector {
	return Selector{matchers: append(slices.Clone(s.matchers), labels.MustNewMatcher(labels.MatchEqual, label, value))}
}

// String writes the selector: matchers in order, the name among them.
func (s Selector) String() string {
	texts := make([]string, 0, len(s.matchers))
	for _, m := range s.matchers {
		if text := m.String(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return "{" + strings.Join(texts, ",") + "}"
}
