package eviction

import (
	"time"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/updater/fit"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// Component names the decisions of this package.
const Component = "vpa-updater"

// Kind is the kind of the unit.
const Kind = "VerticalPodAutoscaler"

// Rules are what the loop runs and a replay runs again.
func Rules() loop.Rules[Snapshot, State, Decision] {
	return loop.Rules[Snapshot, State, Decision]{Decide: Decide, Commit: Commit}
}

// Decision is which pods of one object to resize in place and which to evict.
// From is 0, To the number of both wanted now.
type Decision struct {
	decision.Decision[int, Delta]
	// Target is the kind and name that the object scales.
	Target string `json:"target,omitempty"`
	// UpdateMode is the object's, and Pods how many live pods it has.
	UpdateMode vpav1.UpdateMode `json:"updateMode,omitempty"`
	Pods       int              `json:"pods,omitempty"`
	// Candidates are the pods that may be updated, those in greatest need first.
	// Resizes are tried before evictions. Budgets bound how many of a group are
	// updated, so that a pod that is refused leaves its place to the next.
	Candidates []Candidate    `json:"candidates,omitempty"`
	Budgets    map[string]int `json:"budgets,omitempty"`
	// Unboosts are the pods whose startup boost ends. They need no room in the
	// budgets and take up none.
	Unboosts []Unboost `json:"unboosts,omitempty"`
	// Skipped are the pods that are not resized because the node could not have
	// room for no more than that before.
	Skipped []PodRef `json:"skipped,omitempty"`
	// Blocked are the pods that are not updated now, and when they may be.
	Blocked []Blocked `json:"blocked,omitempty"`
	// Rollout is a Deployment to roll out in place of evictions, nil for none.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Allowance is how many evictions may be made at the most; 0 is no bound.
	Allowance int `json:"allowance,omitempty"`
	// Failures are the evicted pods in whose place none came back well, as was
	// found this turn.
	Failures []string `json:"failures,omitempty"`
}

// PodRef names a pod.
type PodRef struct {
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
}

// Candidate is a pod to resize or to evict.
type Candidate struct {
	Pod   string `json:"pod"`
	UID   string `json:"uid,omitempty"`
	Group string `json:"group"`
	// Pending pods serve nobody and use up no budget.
	Pending bool `json:"pending,omitempty"`
	// Reason and Message tell why.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Resize are the changes to make in place; empty for an eviction.
	Resize []resize.Change `json:"resize,omitempty"`
	// Unbounded tells that the resize needs no room in the budget. It takes up some
	// all the same.
	Unbounded bool `json:"unbounded,omitempty"`
	// OrEvict tells that the pod is evicted where the resize is refused.
	OrEvict bool `json:"orEvict,omitempty"`
	// Targets are what was recommended at a resize that no eviction follows, to be
	// remembered where it is refused for good.
	Targets Targets `json:"targets,omitempty"`
	// Taken is the room that was set aside for the pod, nil where none had to be.
	Taken *fit.Taken `json:"taken,omitempty"`
}

// Reasons of a decision.
const (
	ReasonEvict            = "Evict"
	ReasonResize           = "Resize"
	ReasonResizeAndEvict   = "ResizeAndEvict"
	ReasonResizing         = "Resizing"
	ReasonEndBoost         = "EndBoost"
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
	// Attempts are the resizes that are not done, by name and UID of the pod.
	Attempts map[string]resize.Attempt `json:"attempts,omitempty"`
	// Infeasible are the targets that a pod's node could not have room for, for the
	// mode InPlace, by name and UID.
	Infeasible map[string]Targets `json:"infeasible,omitempty"`
	// Breaker is what is remembered of evictions where a breaker holds.
	Breaker *Breaker `json:"breaker,omitempty"`
}

// Delta moves the state.
type Delta struct {
	// Judged tells that the pods were looked at, so that the rest takes the place of
	// what was known.
	Judged     bool                      `json:"judged,omitempty"`
	Wanted     map[string]time.Time      `json:"wanted,omitempty"`
	Attempts   map[string]resize.Attempt `json:"attempts,omitempty"`
	Infeasible map[string]Targets        `json:"infeasible,omitempty"`
	// Breaker takes the place of what was known; nil leaves it.
	Breaker *Breaker `json:"breaker,omitempty"`
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
		s.Wanted, s.Attempts, s.Infeasible = d.Wanted, d.Attempts, d.Infeasible
	}
	if d.Breaker != nil {
		s.Breaker = d.Breaker
		if d.Breaker.empty() {
			s.Breaker = nil
		}
	}
	return s
}
