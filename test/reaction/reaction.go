// Package reaction measures how long an autoscaler takes from the change that
// calls for more replicas to the scale write that brings them. It is pure: the
// times are its caller's.
package reaction

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Meter knows, for each number of replicas, since when that number has been too
// few by the autoscaling/v2 rule for an average value: depth above target x
// replicas by more than the tolerance.
type Meter struct {
	mu        sync.Mutex
	target    float64
	tolerance float64
	limit     int
	// since[n] is when n replicas became too few; zero while they are enough.
	since     []time.Time
	reactions []time.Duration
}

// NewMeter makes a Meter for a target average value, a tolerance (0.1 is ten
// percent) and a maximum of replicas.
func NewMeter(target, tolerance float64, maxReplicas int) *Meter {
	return &Meter{target: target, tolerance: tolerance, limit: maxReplicas, since: make([]time.Time, maxReplicas)}
}

// Depth tells the meter of the queue's depth at a time.
func (m *Meter) Depth(depth int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.since {
		short := float64(depth) > m.target*float64(n)*(1+m.tolerance)
		switch {
		case !short:
			m.since[n] = time.Time{}
		case m.since[n].IsZero():
			m.since[n] = at
		}
	}
}

// Scaled tells the meter of an observed scale write. A write upwards ends the
// wait that began when the old number became too few.
func (m *Meter) Scaled(from, to int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to <= from || from < 0 || from >= m.limit || m.since[from].IsZero() {
		return
	}
	m.reactions = append(m.reactions, at.Sub(m.since[from]))
}

// Target is the number of replicas that the rule wants for a depth, at least
// minReplicas.
func (m *Meter) Target(depth, minReplicas int) int {
	return min(m.limit, max(minReplicas, int(math.Ceil(float64(depth)/m.target))))
}

// Summary is what was measured.
type Summary struct {
	Count       int
	Median, Max time.Duration
}

// Summary is what was measured so far.
func (m *Meter) Summary() Summary {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Summarize(m.reactions)
}

// Summarize gives the count, the median (the lower of the two middle ones) and
// the maximum; all zero where there is nothing.
func Summarize(durations []time.Duration) Summary {
	if len(durations) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(durations))
	return Summary{Count: len(sorted), Median: sorted[(len(sorted)-1)/2], Max: sorted[len(sorted)-1]}
}
