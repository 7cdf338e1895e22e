package patch

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
		return t.stop(ReasonPolicyOff, p.Source()+": mode Off: new pods are left alone")
	}
	t.step("", "", "PolicyRecommends", p.Source()+": mode Recommend: the patch is shown and not made")
	return true
}
