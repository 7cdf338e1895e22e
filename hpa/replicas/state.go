package replicas

import (
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// State is what is remembered of one object between turns.
type State struct {
	// Seeded tells that the object's scale was seen before.
	Seeded          bool                      `json:"seeded,omitempty"`
	Recommendations []behavior.Recommendation `json:"recommendations,omitempty"`
	// Ups and Downs are the changes that the rate policies count. They are kept
	// only for objects with spec.behavior.
	Ups   []behavior.Event `json:"ups,omitempty"`
	Downs []behavior.Event `json:"downs,omitempty"`
	// LastUp and LastDown are when the last change of each direction was made.
	LastUp   time.Time `json:"lastUp,omitzero"`
	LastDown time.Time `json:"lastDown,omitzero"`
	// Recommended is the count last shown in mode Recommend.
	Recommended *int32 `json:"recommended,omitempty"`
	// ActedAt is the last turn in which the object was not left to another
	// controller.
	ActedAt time.Time `json:"actedAt,omitzero"`
	// Reversals are when a change was carried out that went the other way than
	// the one before it: the last reversalsKept of the last reversalsFor, oldest
	// first.
	Reversals []time.Time `json:"reversals,omitempty"`
	// MetricsLostAt is the first turn of those without a count from any metric,
	// zero while there is one.
	MetricsLostAt time.Time `json:"metricsLostAt,omitzero"`
	// Resume is set while the state is one that was kept and read again, until the
	// object's scale is seen.
	Resume *Resume `json:"resume,omitempty"`
	// Rollout is the target's last rollout, nil where none was seen.
	Rollout *PastRollout `json:"rollout,omitempty"`
	// Setter is who was last seen to set the count against us, nil for nobody.
	Setter *Setter `json:"setter,omitempty"`
}

// What is kept of reversals: as far back, and as many, as a policy may ask for.
const (
	reversalsFor  = 24 * time.Hour
	reversalsKept = 100
)

// Delta moves the state. Absent fields move nothing.
type Delta struct {
	Seed           *Seed          `json:"seed,omitempty"`
	Recommendation *behavior.Slot `json:"recommendation,omitempty"`
	Scaled         *Scaled        `json:"scaled,omitempty"`
	Recommended    *int32         `json:"recommended,omitempty"`
	ActedAt        time.Time      `json:"actedAt,omitzero"`
	MetricsLostAt  time.Time      `json:"metricsLostAt,omitzero"`
	// MetricsFound tells that a metric gave a count again.
	MetricsFound bool         `json:"metricsFound,omitempty"`
	Resumed      *Resumed     `json:"resumed,omitempty"`
	Rollout      *PastRollout `json:"rollout,omitempty"`
	Setter       *Setter      `json:"setter,omitempty"`
}

// Seed is what an object begins with: its count as the first recommendation,
// so that a controller that starts does not scale down at once, and the last
// change that its status tells of, whose direction is not known.
type Seed struct {
	behavior.Recommendation
	LastScale time.Time `json:"lastScale,omitzero"`
}

// Scaled is a change that was carried out.
type Scaled struct {
	Direction string    `json:"direction"`
	At        time.Time `json:"at"`
	// Change is the number of replicas added or taken.
	Change int32 `json:"change"`
	// Counted tells that the rate policies count it; LongestPeriod is their
	// longest period in seconds.
	Counted       bool  `json:"counted,omitempty"`
	LongestPeriod int32 `json:"longestPeriod,omitempty"`
}

// Commit folds a decision and its outcome into a new state.
func Commit(s State, d Decision, o decision.Outcome) State {
	s = apply(s, d.Observed)
	if o.Result == decision.Succeeded {
		s = apply(s, d.OnSuccess)
	}
	return s
}

func apply(s State, d Delta) State {
	if d.Resumed != nil {
		s = resumed(s, *d.Resumed)
	}
	if d.Seed != nil {
		s.Seeded = true
		s.Recommendations = []behavior.Recommendation{d.Seed.Recommendation}
		s.LastUp, s.LastDown = d.Seed.LastScale, d.Seed.LastScale
	}
	if d.Recommendation != nil {
		s.Recommendations = behavior.Remember(s.Recommendations, *d.Recommendation)
	}
	if d.Scaled != nil {
		s = scaled(s, *d.Scaled)
	}
	if d.Recommended != nil {
		n := *d.Recommended
		s.Recommended = &n
	}
	if !d.ActedAt.IsZero() {
		s.ActedAt = d.ActedAt
	}
	if d.Setter != nil {
		setter := *d.Setter
		s.Setter = &setter
	}
	if d.Rollout != nil {
		r := *d.Rollout
		s.Rollout = &r
	}
	if !d.MetricsLostAt.IsZero() || d.MetricsFound {
		s.MetricsLostAt = d.MetricsLostAt
	}
	return s
}

// reversed notes a change that goes the other way than the last one. Where the
// direction of the last one is not known, as after a restart, none is noted.
func reversed(s State, c Scaled) State {
	same, other := s.LastUp, s.LastDown
	if c.Direction != behavior.Up {
		same, other = other, same
	}
	if !other.After(same) {
		return s
	}
	kept := make([]time.Time, 0, len(s.Reversals)+1)
	for _, at := range s.Reversals {
		if at.After(c.At.Add(-reversalsFor)) {
			kept = append(kept, at)
		}
	}
	kept = append(kept, c.At)
	s.Reversals = kept[max(0, len(kept)-reversalsKept):]
	return s
}

func scaled(s State, c Scaled) State {
	s = reversed(s, c)
	event := behavior.Event{At: c.At, Change: c.Change}
	if c.Direction == behavior.Up {
		s.LastUp = c.At
		if c.Counted {
			s.Ups = behavior.Record(s.Ups, event, c.LongestPeriod)
		}
		return s
	}
	s.LastDown = c.At
	if c.Counted {
		s.Downs = behavior.Record(s.Downs, event, c.LongestPeriod)
	}
	return s
}
