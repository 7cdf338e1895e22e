package eviction

import "github.com/quartet-autoscaling/quartet/internal/verticalpolicy"

// ReasonPolicyOff is the reason of a decision where the attached policy leaves the
// object alone.
const ReasonPolicyOff = "PolicyOff"

// attachedPolicy takes the mode of the attached VerticalScalingPolicy where it is
// more cautious than the binary's.
func attachedPolicy(t *turn) bool {
	p := t.s.Policy
	if p == nil {
		return true
	}
	mode := p.More(t.s.Mode)
	if mode == t.s.Mode {
		return true
	}
	t.s.Mode = mode
	if mode == verticalpolicy.ModeOff {
		return t.stop(ReasonPolicyOff, p.Source()+": mode Off: no pod is updated")
	}
	t.step(0, "PolicyRecommends", p.Source()+": mode Recommend: what would be done is shown and not done")
	return true
}
