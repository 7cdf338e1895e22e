package promql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// maxSelectors is how many selectors of one query are asked for their time.
	maxSelectors = 16
	// selectorLabel keeps the times of two selectors apart where the series of both
	// have the same labels.
	selectorLabel = "quartet_selector"
	// lookSteps is how finely a range is searched for the last sample of series
	// that are gone.
	lookSteps = 10
)

// DataTime gives a query for the time of the data that another query reads, in
// seconds since 1970: of the newest samples of all series that it selects the
// oldest. A series of a range that has ended counts only where no other of its
// selector goes on, so that one worker fewer is no old sample. What is selected of
// another time on purpose (offset, @) does not count.
//
// The query gives one sample for each combination of values of the labels by, one
// in all where there are none. It is empty for a query that selects nothing, or
// that Prometheus' parser does not know: servers of other makers have functions of
// their own. Reach is the longest range that the query reads.
func DataTime(query string, by []string) (text string, reach time.Duration) {
	expression, err := newParser().ParseExpr(query)
	if err != nil {
		return "", 0
	}
	selected := selections(expression)
	for _, s := range selected {
		reach = max(reach, s.reach)
	}
	switch len(selected) {
	case 0:
		return "", 0
	case 1:
		return selected[0].time(by), reach
	}
	parts := make([]string, len(selected))
	for i, s := range selected {
		parts[i] = fmt.Sprintf("label_replace(%s, %q, %q, \"\", \"\")", s.time(by), selectorLabel, strconv.Itoa(i))
	}
	return grouped("min", by, strings.Join(parts, " or ")), reach
}

// selection is one selector of a query, and the longest range it is read over.
type selection struct {
	text  string
	reach time.Duration
}

// time is the query for the time of the selector's newest data.
func (s selection) time(by []string) string {
	at := "timestamp(" + s.text + ")"
	live := grouped("min", by, at)
	if s.reach == 0 {
		return live
	}
	step := max(time.Second, (s.reach / lookSteps).Round(time.Second))
	ended := fmt.Sprintf("max_over_time(%s[%s:%s])", at, model.Duration(s.reach), model.Duration(step))
	return live + " or " + grouped("max", by, ended)
}

// grouped aggregates a vector by labels.
func grouped(aggregation string, by []string, vector string) string {
	if len(by) == 0 {
		return aggregation + "(" + vector + ")"
	}
	return fmt.Sprintf("%s by (%s) (%s)", aggregation, strings.Join(by, ", "), vector)
}

// selections are a query's distinct selectors in the order in which they stand.
func selections(expression parser.Expr) []selection {
	var found []selection
	parser.Inspect(expression, func(node parser.Node, path []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok || elsewhen(selector) || selector.BypassEmptyMatcherCheck {
			return nil
		}
		reach, now := reachOf(path)
		if !now {
			return nil
		}
		text := plain(selector)
		at := slices.IndexFunc(found, func(s selection) bool { return s.text == text })
		switch {
		case at >= 0:
			found[at].reach = max(found[at].reach, reach)
		case len(found) < maxSelectors:
			found = append(found, selection{text: text, reach: reach})
		}
		return nil
	})
	return found
}

// reachOf is how far back the nodes around a selector read it; false where they
// read it at another time than the query's.
func reachOf(path []parser.Node) (time.Duration, bool) {
	var reach time.Duration
	for _, node := range path {
		switch n := node.(type) {
		case *parser.MatrixSelector:
			reach += n.Range
		case *parser.SubqueryExpr:
			if n.OriginalOffset != 0 || n.OriginalOffsetExpr != nil || n.Timestamp != nil || n.StartOrEnd != 0 {
				return 0, false
			}
			reach += n.Range
		}
	}
	return reach, true
}

// elsewhen tells whether a selector asks for another time than the query's.
func elsewhen(s *parser.VectorSelector) bool {
	return s.OriginalOffset != 0 || s.OriginalOffsetExpr != nil || s.Timestamp != nil || s.StartOrEnd != 0
}

// plain writes a selector without what modifies it. Its name stands among the
// matchers, where it is taken for no keyword.
func plain(s *parser.VectorSelector) string { return Selector{matchers: s.LabelMatchers}.String() }
