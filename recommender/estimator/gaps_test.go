package estimator

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// TestGapsDoNoHarm: while usage is not known, pods are gone or the target cannot be
// found, nothing is learned and nothing forgotten, and the recommendation stays.
func TestGapsDoNoHarm(t *testing.T) {
	usage := Amounts{CPU: ptr(100), Memory: ptr(256 << 20)}
	for name, gap := range map[string]func(*Snapshot){
		"no metrics server":                    func(s *Snapshot) { unmeasured(s); s.UsageError = "the server could not be found" },
		"a metrics server that has just begun": func(s *Snapshot) { unmeasured(s) },
		"the same sample again and again": func(s *Snapshot) {
			p := s.Pods["orders-1"]
			p.Sampled = start.Add(24*time.Hour - time.Minute)
			s.Pods["orders-1"] = p
		},
		"scaled to none":   func(s *Snapshot) { s.Pods = nil },
		"a missing target": func(s *Snapshot) { s.Pods, s.TargetError = nil, "orders does not exist" },
	} {
		t.Run(name, func(t *testing.T) {
			before, state := days(1, usage, nil)
			kept := state.Learned
			at := start.Add(24 * time.Hour)
			// Seven days, less than the length of history.
			for i := range 7 * 24 {
				s := steady(at.Add(time.Duration(i)*time.Hour), usage)
				s.VPA.Recommended = before.To
				gap(&s)
				d := Decide(s, state)
				if diff := cmp.Diff(before.To, d.To); diff != "" {
					t.Fatalf("hour %d: the recommendation changed (-before +after):\n%s", i, diff)
				}
				state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
			}
			if diff := cmp.Diff(kept, state.Learned); diff != "" {
				t.Errorf("the history changed (-before +after):\n%s", diff)
			}
			s := steady(at.Add(7*24*time.Hour), usage)
			if d := Decide(s, state); *d.To[0].Target.CPU != *before.To[0].Target.CPU {
				t.Errorf("the target is %dm after the gap, %dm before", *d.To[0].Target.CPU, *before.To[0].Target.CPU)
			}
		})
	}
}

func unmeasured(s *Snapshot) {
	for name, p := range s.Pods {
		p.Sampled = time.Time{}
		for container, c := range p.Containers {
			c.Usage = Amounts{}
			p.Containers[container] = c
		}
		s.Pods[name] = p
	}
}
