package estimator

import (
	"maps"
	"math"
	"slices"
)

// checkpoint says what history is to be written: at once where a kill or a new
// peak changed it, all that is new when it is due, and nothing that is as it was.
func checkpoint(t *turn) {
	period := t.s.Config.CheckpointPeriod
	if period == 0 || t.withheld || t.s.Mode != ModeAuto || len(t.after.Unsaved) == 0 {
		return
	}
	t.d.Urgent = t.urgent()
	t.d.Checkpoints = t.d.Urgent
	// The rest of the period is for the writes themselves, which are spread.
	if t.s.Now.Sub(t.state.Checkpointed) >= period-3*(period/10) {
		t.d.Checkpoints = t.after.Unsaved
		t.d.OnSuccess.Checkpointed = t.s.Now
	}
	t.d.OnSuccess.Saved = t.d.Checkpoints
}

// urgent are the containers that a kill or a new peak in this turn changed,
// sorted. A peak within the bucket of the one before it changes nothing.
func (t *turn) urgent() []string {
	names := map[string]bool{}
	for _, kills := range t.d.Observed.Kills {
		for container := range kills {
			names[container] = true
		}
	}
	scheme := MemoryScheme(t.s.Config.Memory.HalfLife)
	for pod, samples := range t.d.Observed.Samples {
		for container := range samples.Containers {
			if names[container] {
				continue
			}
			was, is := t.state.Windows[pod][container], t.after.Windows[pod][container]
			names[container] = is.highest() > 0 && (!was.End.Equal(is.End) ||
				scheme.Bucket(float64(is.highest())) > scheme.Bucket(float64(was.highest())))
		}
	}
	maps.DeleteFunc(names, func(container string, changed bool) bool {
		_, known := t.after.Learned[container]
		return !changed || !known
	})
	return slices.Sorted(maps.Keys(names))
}

// settle leaves the status as it is where nothing but bounds moved, and those by
// less than is worth a write: they follow confidence and never stand still.
func (t *turn) settle() {
	tolerance := t.s.Config.BoundsTolerance
	if t.d.Reason != ReasonBounds || tolerance <= 0 || t.d.Status.Scope != ScopeAll || !t.d.To.near(t.d.From, tolerance) {
		return
	}
	t.d.Reason = ReasonHold
	t.d.Message = "the targets stay, and the bounds by less than " + percent(tolerance) + "%: the status stays as it is"
	t.d.Act = t.d.Act && len(t.d.Checkpoints) > 0
	t.d.Status.Scope = ScopeUnmoved
}

// near tells whether two recommendations have the same targets, and bounds that
// differ by at most the part.
func (r Recommendation) near(other Recommendation, part float64) bool {
	return slices.EqualFunc(r, other, func(a, b ContainerRecommendation) bool {
		return a.Container == b.Container && a.Target.equal(b.Target) && a.Uncapped.equal(b.Uncapped) &&
			a.Lower.near(b.Lower, part) && a.Upper.near(b.Upper, part)
	})
}

func (a Amounts) near(b Amounts, part float64) bool {
	for _, name := range resources {
		x, y := a.Of(name), b.Of(name)
		if (x == nil) != (y == nil) {
			return false
		}
		if x != nil && math.Abs(float64(*x)-float64(*y)) > float64(float64(*y)*part) {
			return false
		}
	}
	return true
}

// without gives the sorted names that are not among the others; nil for none.
func without(names, others []string) []string {
	if len(others) == 0 || len(names) == 0 {
		return names
	}
	var out []string
	for _, name := range names {
		if _, found := slices.BinarySearch(others, name); !found {
			out = append(out, name)
		}
	}
	return out
}

// with gives the sorted names and those that were touched.
func with(names []string, touched map[string]*Learned) []string {
	added := false
	for name := range touched {
		_, found := slices.BinarySearch(names, name)
		added = added || !found
	}
	if !added {
		return names
	}
	all := make(map[string]bool, len(names)+len(touched))
	for _, name := range names {
		all[name] = true
	}
	for name := range touched {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}
