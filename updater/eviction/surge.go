package eviction

import (
	"fmt"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// ReasonRollout is the reason of a decision to roll a Deployment out, where
// nothing is resized or evicted besides.
const ReasonRollout = "Rollout"

// rolloutPause is the least time between two rollouts of one Deployment that are
// asked for here, so that pods that come back unchanged do not have them follow
// one another.
const rolloutPause = 10 * time.Minute

// Deployment is what a rollout of the target depends on.
type Deployment struct {
	// Replicas is how many pods it wants, Surge by how many it may exceed that
	// meanwhile.
	Replicas int32 `json:"replicas,omitempty"`
	Surge    int32 `json:"surge,omitempty"`
	Paused   bool  `json:"paused,omitempty"`
	// UnderWay tells that its pods are being replaced.
	UnderWay bool `json:"underWay,omitempty"`
	// Restarted is when a rollout was last asked for in the way of kubectl.
	Restarted time.Time `json:"restarted,omitzero"`
	// Unknown tells why the rest is not known.
	Unknown string `json:"unknown,omitempty"`
}

// Rollout is a Deployment whose pods are to be replaced, new ones first.
type Rollout struct {
	Deployment string `json:"deployment"`
	// Taken is the room that was set aside for its first new pod, nil where none
	// had to be.
	Taken *fit.Taken `json:"taken,omitempty"`
	// At is what the template is marked with.
	At time.Time `json:"at"`
}

const kindDeployment = "Deployment"

// planSurge finds out whether a rollout takes the place of evictions. Where a
// policy asks for it and it cannot be, a step tells why, and pods are evicted by
// the rules that hold for evictions.
func (t *turn) planSurge() {
	asked := t.disruption().Surge
	if asked != verticalpolicy.SurgeSingleReplica && asked != verticalpolicy.SurgeAlways {
		return
	}
	kind, name, _ := strings.Cut(t.s.VPA.Target, "/")
	d := t.s.Deployment
	why := ""
	switch {
	case kind != kindDeployment:
		why = "a " + kind + " makes no new pod before an old one goes"
	case d == nil:
		why = "vpa-updater may not change Deployments: start it with --surge, and the chart's vpaUpdater.surge gives it the permission"
	case d.Unknown != "":
		why = d.Unknown
	case asked == verticalpolicy.SurgeSingleReplica && d.Replicas != 1:
		return
	case d.Surge < 1:
		why = "its strategy has no maxSurge"
	case d.Paused:
		why = "it is paused"
	default:
		t.kind.surge = name
		return
	}
	t.rule = "owner/surge"
	t.step(0, "NoSurge", fmt.Sprintf("%s asks for a new pod before an old one goes; %s cannot: %s", t.s.Policy.Source(), t.s.VPA.Target, why))
}

// surging tells whether a rollout would take the place of the pod's eviction.
func (t *turn) surging(p *judged) bool { return t.kind.surge != "" && len(p.changes) == 0 }

// rollOut asks for a rollout, once for all pods in need.
func (t *turn) rollOut(p *judged) bool {
	d := t.s.Deployment
	t.rule = "owner/surge"
	pause := max(rolloutPause, t.disruption().MinInterval)
	switch next := d.Restarted.Add(pause); {
	case d.UnderWay:
		p.object = t.s.VPA.Target
		t.step(0, "RolloutUnderWay", fmt.Sprintf("%s: %s; a rollout of %s is under way", p.name, p.why, t.s.VPA.Target))
		return false
	case !d.Restarted.IsZero() && t.s.Now.Before(next):
		p.object, p.next = t.s.VPA.Target, next
		t.step(0, "RolloutTooSoon", fmt.Sprintf("%s: %s; the last rollout of %s was asked for at %s%s",
			p.name, p.why, t.s.VPA.Target, clockTime(d.Restarted), eligible(next)))
		return false
	case t.d.Rollout != nil:
		t.step(0, "RolledOutToo", fmt.Sprintf("%s: %s; the rollout of %s replaces it too", p.name, p.why, t.s.VPA.Target))
		return true
	}
	t.d.Rollout = &Rollout{Deployment: t.kind.surge, At: t.s.Now}
	t.step(1, p.reason, fmt.Sprintf("%s: %s; by a rollout of %s a new pod comes before it goes; wanted since %s", p.name, p.why, t.s.VPA.Target, clockTime(t.since(p))))
	t.spend(p)
	t.d.Rollout.Taken = p.taken
	return true
}

// concludeKind adds what the rules of kindness came to.
func (t *turn) concludeKind() {
	if r := t.d.Rollout; r != nil {
		said := "roll out Deployment " + r.Deployment
		if len(t.resized)+len(t.evicted) == 0 {
			t.d.Reason, t.d.Message = ReasonRollout, said
		} else {
			t.d.Message += "; " + said
		}
	}
	t.d.Allowance = t.allowance()
	t.await()
}

// rolloutEvent tells what became of a rollout.
func rolloutEvent(r Result) Event {
	if r.Error != "" {
		return Event{Type: Warning, Reason: "RolloutRefused", Message: fmt.Sprintf("Could not roll out Deployment %s: %s", r.Pod, r.Error)}
	}
	return Event{Type: Normal, Reason: "RolledOut", Message: fmt.Sprintf("VPA Updater rolled out Deployment %s to apply resource recommendation.", r.Pod)}
}
