package policies

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/recurrence"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// Policy is a VerticalScalingPolicy as the cache keeps it: with its windows read.
type Policy struct {
	*v1alpha1.VerticalScalingPolicy
	windows []*recurrence.Recurrence
	fault   error
}

// read makes a Policy of a VerticalScalingPolicy, once for each version of it.
func read(o any) (any, error) {
	written, ok := o.(*v1alpha1.VerticalScalingPolicy)
	if !ok {
		return o, nil
	}
	written.ManagedFields = nil
	p := &Policy{VerticalScalingPolicy: written}
	if d := written.Spec.Disruption; d != nil {
		for i, w := range d.Windows {
			window, err := recurrence.Parse(w)
			if err != nil {
				p.fault = cmp.Or(p.fault, fmt.Errorf("disruption.windows[%d]: %w", i, err))
				continue
			}
			p.windows = append(p.windows, window)
		}
	}
	return p, nil
}

// VPA names the VerticalPodAutoscaler that the policy is for.
func (p *Policy) VPA() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.TargetRef.Name}
}

// Fault tells of the first window that cannot be read, and what to write in its
// place; nil where all can.
func (p *Policy) Fault() error { return p.fault }

func (p *Policy) attached() verticalpolicy.Attached {
	return verticalpolicy.Attached{Name: p.Name, Mode: string(p.Spec.Mode)}
}

func (p *Policy) recommender() *verticalpolicy.Recommender {
	out := &verticalpolicy.Recommender{
		Attached: p.attached(), CPU: estimation(p.Spec.CPU), Memory: estimation(p.Spec.Memory),
		MemoryWindow: duration(p.Spec.MemoryWindow), Bound: p.Spec.WithHPA == v1alpha1.WithHPABound,
	}
	if n := p.Spec.MemoryWindows; n != nil {
		out.MemoryWindows = int64(*n)
	}
	for _, source := range p.Spec.ColdStart {
		out.ColdStart = append(out.ColdStart, string(source))
	}
	return out
}

func estimation(e *v1alpha1.Estimation) verticalpolicy.Estimation {
	if e == nil {
		return verticalpolicy.Estimation{}
	}
	out := verticalpolicy.Estimation{
		Target: part(e.TargetPercentile), Lower: part(e.LowerPercentile), Upper: part(e.UpperPercentile),
		HalfLife: duration(e.HalfLife),
	}
	if e.MarginPercent != nil {
		margin := part(e.MarginPercent)
		out.Margin = &margin
	}
	return out
}

// part is a percentage as a part of 1; 0 where it is not set.
func part(percent *int32) float64 {
	if percent == nil {
		return 0
	}
	return float64(*percent) / 100
}

func duration(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

func (p *Policy) updater(now time.Time) *verticalpolicy.Updater {
	out := &verticalpolicy.Updater{Attached: p.attached(), RequireFit: p.Spec.Fit == v1alpha1.FitRequire}
	if d := p.Spec.Disruption; d != nil {
		out.Disruption = verticalpolicy.Disruption{
			MaxUnavailable: d.MaxUnavailable, MinInterval: duration(d.MinInterval),
			Windowed: len(d.Windows) > 0, Windows: p.openings(now), Surge: d.Surge,
		}
	}
	if b := p.Spec.Breaker; b != nil {
		out.Breaker = &verticalpolicy.Breaker{
			Failures: b.Failures, ReadyWithin: b.ReadyWithin.Duration, ResetAfter: b.ResetAfter.Duration,
		}
	}
	return out
}

// openings are those of all windows that are open, and the next of each, in their
// order.
func (p *Policy) openings(now time.Time) []verticalpolicy.Window {
	var out []verticalpolicy.Window
	for _, w := range p.windows {
		for _, o := range w.Openings(now) {
			out = append(out, verticalpolicy.Window{Opens: o.Opens, Closes: o.Closes})
		}
	}
	slices.SortFunc(out, func(a, b verticalpolicy.Window) int {
		return cmp.Or(a.Opens.Compare(b.Opens), a.Closes.Compare(b.Closes))
	})
	return slices.Compact(out)
}

func (p *Policy) admission() *verticalpolicy.Admission {
	out := &verticalpolicy.Admission{Attached: p.attached()}
	for _, r := range p.Spec.Runtimes {
		out.Runtimes = append(out.Runtimes, string(r))
	}
	return out
}
