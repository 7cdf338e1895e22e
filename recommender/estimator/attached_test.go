package estimator

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Whatever is attached, bounds lie around targets, the policy of the object's own
// containers holds, and what is held stays when it is in force.
func TestInvariantsWithPolicies(t *testing.T) {
	for seed := range uint64(20) {
		o := &observed{world: newWorld(4000 + seed)}
		var state State
		for range 60 {
			s := o.world.pass()
			s.VPA.Recommended = o.shown
			o.attached(&s)
			d := Decide(s, state)
			if diff := cmp.Diff(text(t, d), text(t, Decide(s, state))); diff != "" {
				t.Fatalf("seed %d: the same snapshot gives another decision (-first +second):\n%s", seed, diff)
			}
			for _, c := range d.To {
				for _, name := range resources {
					target := c.Target.Of(name)
					if target == nil {
						continue
					}
					if lower, upper := *c.Lower.Of(name), *c.Upper.Of(name); lower > *target || *target > upper {
						t.Errorf("seed %d: %s %s: %d <= %d <= %d", seed, c.Container, name, lower, *target, upper)
					}
				}
			}
			state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
			if d.Act {
				o.shown = d.To
			}
		}
	}
}

// What is held is held at the same amount once it is in force, however the usage
// goes: the two do not fight.
func TestWhatIsHeldStays(t *testing.T) {
	s := steady(start, Amounts{})
	s.Policy = quick(0)
	s.Policy.Bound = true
	s.Horizontals = []Horizontal{{Kind: "HorizontalPodAutoscaler", Name: "web", Follows: []Followed{{Resource: CPU}}}}
	var state State
	var held []int64
	request := int64(400)
	for turn := range 300 {
		used := int64(100 + 10*turn)
		s.Now = start.Add(minutes(turn))
		s.Pods = map[string]Pod{"orders-1": {Sampled: s.Now, Containers: map[string]Container{"app": {Usage: Amounts{CPU: &used}, Requests: Amounts{CPU: ptr(request)}}}}}
		d := Decide(s, state)
		state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
		s.VPA.Recommended = d.To
		// The pod is made anew with what is recommended.
		request = *d.To[0].Target.CPU
		held = append(held, request)
	}
	if held = slices.Compact(held); len(held) != 1 || held[0] != 400 {
		t.Errorf("requests went %v, want them to stay at 400m", held)
	}
}
