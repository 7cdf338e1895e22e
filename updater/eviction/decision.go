package eviction

import (
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Component names the decisions of this package.
const Component = "vpa-updater"

// Kind is the kind of the unit.
const Kind = "VerticalPodAutoscaler"

// Rules are what the loop runs and a replay runs again.
func Rules() loop.Rules[Snapshot, State, Decision] {
	return loop.Rules[Snapshot, State, Decision]{Decide: Decide, Commit: Commit}
}

// Decision is which pods of one object to evict. From is 0, To the number of
// evictions wanted now.
type Decision struct {
	decision.Decision[int, Delta]
	// Target is the kind and name that the object scales.
	Target string `json:"target,omitempty"`
	// Candidates are the pods that may be evicted, in the order to try. Budgets
	// bound how many of a group are, so that a pod that is refused leaves its place
	// to the next.
	Candidates []Candidate    `json:"candidates,omitempty"`
	Budgets    map[string]int `json:"budgets,omitempty"`
}

// Candidate is a pod to evict.
type Candidate struct {
	Pod   string `json:"pod"`
	UID   string `json:"uid,omitempty"`
	Group string `json:"group"`
	// Pending pods serve nobody and use up no budget.
	Pending bool `json:"pending,omitempty"`
	// Reason and Message tell why.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Reasons of a decision.
const (
	ReasonEvict            = "Evict"
	ReasonUpToDate         = "UpToDate"
	ReasonBlocked          = "Blocked"
	ReasonOtherWriter      = "OtherUpdaterActs"
	ReasonOlder            = "OlderObjectScales"
	ReasonUpdateMode       = "UpdateModeEvictsNone"
	ReasonAdmissionAway    = "AdmissionAway"
	ReasonNoRecommendation = "NoRecommendation"
	ReasonNoPods           = "NoPods"
)

// State is what is remembered of one object between turns.
type State struct {
	// Wanted are the pods that are to be updated and since when, by name and UID.
	Wanted map[string]time.Time `json:"wanted,omitempty"`
}

// Delta moves the state.
type Delta struct {
	// Judged tells that the pods were looked at, so that Wanted takes the place of
	// what was known.
	Judged bool                 `json:"judged,omitempty"`
	Wanted map[string]time.Time `json:"wanted,omitempty"`
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
	if d.Judged {
		s.Wanted = d.Wanted
	}
	return s
}
