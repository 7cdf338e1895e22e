package controller

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/hpa/schedule"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// policySpec is what could be read of one policy.
type policySpec struct {
	uid types.UID
	// latest is the spec as it is, of generation seen; fault is why it cannot be
	// read, nil where it can.
	latest *v1alpha1.HorizontalPolicy
	seen   int64
	fault  error
	// good is the last spec that could be read, of the generation; nil where there
	// was none.
	good       *v1alpha1.HorizontalPolicy
	generation int64
	schedules  []*schedule.Schedule

	mu sync.Mutex
	// windows are those of the schedules from since until before until, zero for
	// ever.
	windows      []replicas.Window
	since, until time.Time
}

// parseSchedules reads the schedules of a policy; the first that cannot be read
// is the error.
func parseSchedules(p *v1alpha1.HorizontalPolicy) ([]*schedule.Schedule, error) {
	var out []*schedule.Schedule
	for _, s := range p.Schedules {
		parsed, err := schedule.Parse(s)
		if err != nil {
			return nil, err
		}
		out = append(out, parsed)
	}
	return out, nil
}

// inForce tells what is in force in place of a spec that cannot be read; empty
// where it can.
func (s *policySpec) inForce() string {
	switch {
	case s.fault == nil:
		return ""
	case s.good == nil:
		return fmt.Sprintf("the policy is not in force until it is corrected: %v", s.fault)
	}
	return fmt.Sprintf("the spec of generation %d stays in force until the policy is corrected: %v", s.generation, s.fault)
}

// at gives the policy as it holds at a time.
func (s *policySpec) at(source string, now time.Time) *replicas.Policy {
	out := &replicas.Policy{Source: source, Fault: s.inForce()}
	spec := s.good
	if spec == nil {
		return out
	}
	out.Mode = string(spec.Mode)
	if d := spec.UpscaleDelay; d != nil {
		out.UpscaleDelay = &d.Duration
	}
	if d := spec.DownscaleDelay; d != nil {
		out.DownscaleDelay = &d.Duration
	}
	if d := spec.MaxSampleAge; d != nil {
		out.MaxSampleAge = d.Duration
	}
	if d := spec.SyncPeriod; d != nil {
		out.SyncPeriod = d.Duration
	}
	out.Pause = projectPause(spec.Pause)
	if f := spec.Fallback; f != nil {
		out.Fallback = &replicas.Fallback{Policy: string(f.Policy), After: f.After.Duration}
		if f.Replicas != nil {
			out.Fallback.Replicas = *f.Replicas
		}
	}
	for _, a := range spec.Activation {
		if out.Activation == nil {
			out.Activation = make(map[string]int64, len(spec.Activation))
		}
		out.Activation[a.Metric] = kube.Milli(a.Above)
	}
	if o := spec.Oscillation; o != nil {
		out.Oscillation = &replicas.Oscillation{
			Window: o.Window.Duration, Changes: o.Changes, Tolerance: float64(o.TolerancePercent) / 100,
		}
	}
	out.Windows = s.open(now)
	return out
}

// directions are those of a pause as the rules name them.
var directions = map[v1alpha1.PauseDirection]string{
	v1alpha1.PauseUp: behavior.Up, v1alpha1.PauseDown: behavior.Down,
}

func projectPause(p *v1alpha1.Pause) *replicas.Pause {
	if p == nil {
		return nil
	}
	out := &replicas.Pause{Direction: cmp.Or(directions[p.Direction], replicas.PauseBoth)}
	if p.Until != nil {
		out.Until = utc(p.Until.Time)
	}
	return out
}

// open gives the windows at a time. They are the same from one opening or closing
// to the next.
func (s *policySpec) open(now time.Time) []replicas.Window {
	if len(s.schedules) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() || now.Before(s.since) || (!s.until.IsZero() && !now.Before(s.until)) {
		s.windows = schedule.Resolve(s.schedules, now)
		s.since, s.until = now, schedule.Next(s.windows, now)
	}
	return s.windows
}
