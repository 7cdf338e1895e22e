package estimator

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// Policed tells which VerticalScalingPolicy is attached, and is absent where none
// is.
const Policed = "QuartetPolicy"

// Reasons of the condition Policed, and of a decision where the policy leaves the
// object alone.
const (
	ReasonAttached         = "Attached"
	ReasonPolicyOff        = "PolicyOff"
	ReasonPolicyRecommends = "PolicyRecommends"
)

// attachPolicy lays what the attached policy says over the flags, and takes its
// mode where that is more cautious than the binary's.
func attachPolicy(t *turn) {
	t.flags = t.s.Config
	p := t.s.Policy
	if p == nil {
		return
	}
	t.s.Config = t.flags.under(p)
	if said := overrides(p); said != "" {
		t.step(ReasonAttached, p.Source()+": "+said)
	}
	mode := p.More(t.s.Mode)
	if mode == t.s.Mode {
		return
	}
	t.s.Mode = mode
	if mode == verticalpolicy.ModeOff {
		t.off = true
		t.step(ReasonPolicyOff, p.Source()+": "+textOff)
		return
	}
	t.step(ReasonPolicyRecommends, p.Source()+": "+textRecommends)
}

const (
	textOff        = "mode Off: usage is learned and the object is left alone"
	textRecommends = "mode Recommend: recommendations are shown and not written"
)

// under gives the configuration with what a policy says in place of the flags.
func (c Config) under(p *verticalpolicy.Recommender) Config {
	c.CPU, c.Memory = c.CPU.under(p.CPU), c.Memory.under(p.Memory)
	c.PeakInterval = cmp.Or(p.MemoryWindow, c.PeakInterval)
	c.PeakIntervals = cmp.Or(p.MemoryWindows, c.PeakIntervals)
	return c
}

// under keeps lower, target and upper in their order: what the flags say of one
// yields to what the policy says of another. Otherwise a pod with just its target
// could be out of its bounds, and be updated for ever.
func (e Estimates) under(p verticalpolicy.Estimation) Estimates {
	e.Target = max(cmp.Or(p.Target, min(e.Target, cmp.Or(p.Upper, 1))), p.Lower)
	e.Lower = cmp.Or(p.Lower, min(e.Lower, e.Target))
	e.Upper = cmp.Or(p.Upper, max(e.Upper, e.Target))
	if p.Margin != nil {
		e.Margin = p.Margin
	}
	e.HalfLife = cmp.Or(p.HalfLife, e.HalfLife)
	return e
}

// margin is the part that is added to what was seen of one resource.
func (e Estimates) margin(c Config) float64 {
	if e.Margin != nil {
		return *e.Margin
	}
	return c.Margin
}

// overrides lists what the policy says in place of the flags.
func overrides(p *verticalpolicy.Recommender) string {
	var parts []string
	for _, e := range []struct {
		name string
		verticalpolicy.Estimation
	}{{CPU, p.CPU}, {Memory, p.Memory}} {
		for _, percentile := range []struct {
			name  string
			value float64
		}{{"target", e.Target}, {"lower", e.Lower}, {"upper", e.Upper}} {
			if percentile.value > 0 {
				parts = append(parts, fmt.Sprintf("%s %s p%s", e.name, percentile.name, percent(percentile.value)))
			}
		}
		if e.Margin != nil {
			parts = append(parts, fmt.Sprintf("%s margin %s%%", e.name, percent(*e.Margin)))
		}
		if e.HalfLife > 0 {
			parts = append(parts, fmt.Sprintf("%s half-life %s", e.name, e.HalfLife))
		}
	}
	if p.MemoryWindow > 0 {
		parts = append(parts, "one peak of memory each "+p.MemoryWindow.String())
	}
	if p.MemoryWindows > 0 {
		parts = append(parts, plural(int(p.MemoryWindows), "memory window"))
	}
	return strings.Join(parts, ", ")
}

// policed shows the policy that is attached.
func (t *turn) policed() {
	p := t.s.Policy
	if p == nil {
		return
	}
	reason, text := ReasonAttached, "attached"
	switch {
	case t.off:
		reason, text = ReasonPolicyOff, textOff
	case p.Mode == verticalpolicy.ModeRecommend:
		reason, text = ReasonPolicyRecommends, textRecommends
	}
	if said := overrides(p); said != "" && reason == ReasonAttached {
		text = said
	}
	t.condition(Policed, decision.True, reason, p.Source()+": "+text)
}
