package controller

import (
	"slices"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/recurrence"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// The times for which the fleet remembers.
const (
	// rateSpan is the longest span of a rate.
	rateSpan = time.Hour
	// settling is how long the room that was set aside for a pod is not offered to
	// another: until then the pod has come and shows by itself.
	settling = 2 * time.Minute
)

// fleet is what decisions know of one another: evictions, failures, and the room
// that was set aside. It is kept in memory.
type fleet struct {
	config  eviction.Kindness
	windows []*recurrence.Recurrence

	mu        sync.Mutex
	evictions []time.Time
	failures  []eviction.Failure
	aside     []aside
}

// aside is room of one namespace that a pod is about to take.
type aside struct {
	namespace string
	at        time.Time
	fit.Taken
}

// look is what a decision is to know.
func (f *fleet) look(now time.Time) eviction.Fleet {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.evictions = slices.DeleteFunc(f.evictions, func(at time.Time) bool { return !at.After(now.Add(-rateSpan)) })
	out := eviction.Fleet{Windowed: len(f.windows) > 0}
	if len(f.evictions) > 0 && (f.config.PerMinute > 0 || f.config.PerHour > 0) {
		out.Evictions = slices.Clone(f.evictions)
	}
	if b := f.config.Breaker; b != nil && f.config.Fleet > 0 {
		f.failures = slices.DeleteFunc(f.failures, func(x eviction.Failure) bool { return !x.At.After(now.Add(-b.ResetAfter)) })
		out.Failures = append(out.Failures, f.failures...)
	}
	for _, w := range f.windows {
		for _, o := range w.Openings(now) {
			out.Windows = append(out.Windows, verticalpolicy.Window{Opens: o.Opens, Closes: o.Closes})
		}
	}
	return out
}

// evicted notes an eviction, or a rollout.
func (f *fleet) evicted(now time.Time) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.evictions = append(f.evictions, now.UTC().Round(0))
}

// failed notes the failures that a decision found.
func (f *fleet) failed(d eviction.Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range d.Failures {
		f.failures = append(f.failures, eviction.Failure{Object: d.Unit.Namespace + "/" + d.Unit.Name, At: d.At})
	}
}

// setAside keeps the room that a decision took of those that follow.
func (f *fleet) setAside(unit decision.Unit, taken *fit.Taken, now time.Time) {
	if f == nil || taken == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aside = append(f.aside, aside{namespace: unit.Namespace, at: now, Taken: *taken})
}

// takenOf is the room that is set aside; quotas are those of one namespace.
func (f *fleet) takenOf(namespace string, now time.Time) []fit.Taken {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aside = slices.DeleteFunc(f.aside, func(a aside) bool { return now.Sub(a.at) >= settling })
	var out []fit.Taken
	for _, a := range f.aside {
		taken := a.Taken
		if a.namespace != namespace {
			taken.Quotas = nil
		}
		out = append(out, taken)
	}
	return out
}
