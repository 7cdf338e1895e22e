// Package query turns readings of a source over time into named metric values,
// and judges whether they may be served. It is the pure half of the metrics
// adapter: it polls nothing, knows no source's protocol and serves nothing.
//
// One unit is one MetricSource. Decide computes each metric of the object from
// the newest reading and a short window of counters; Judge, with the same rules,
// is asked again at every serving read, so that a sample that has grown too old
// since the last decision does not look fresh.
//
// Empty, not a number, unreachable, stale and zero are five different things
// here, and only a zero that was measured is ever served as 0.
package query

import (
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Component is the name under which decisions of this package are recorded.
const Component = "metrics-adapter"

// Decision is what was decided about one MetricSource. From and To are the values
// before and after, for people and programs that compare; Served is the whole of
// what is published.
type Decision struct {
	decision.Decision[Values, Delta]
	Served Served `json:"served"`
	// Generation is the generation of the object that was decided on.
	Generation int64 `json:"generation"`
	// SourceText names kind and subject of the source in force.
	SourceText string `json:"sourceText,omitempty"`
	// RecheckAt is when the decision may come out otherwise without any new
	// input: the moment at which a fresh sample becomes stale. Zero: never.
	RecheckAt Time `json:"recheckAt,omitzero"`
}

// Rules is the pure half of the adapter's loop. Replay calls the same value.
var Rules = loop.Rules[Snapshot, State, Decision]{Decide: Decide, Commit: Commit}
