package estimator

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/recommender/histogram"
)

// cpuWeight is the weight of a CPU sample, peakWeight that of a memory peak.
const (
	cpuWeight  = 0.1
	peakWeight = 1.0
	// epsilon is the weight below which a bucket is empty.
	epsilon = 0.001 * cpuWeight
	// growth is what each bucket is wider by than the one before it.
	growth = 0.05
)

// maxAmount is the largest amount of any resource.
const maxAmount = int64(1e14)

// The buckets of the two resources: up to 1000 cores and up to 1 TB.
var (
	cpuBuckets    = histogram.Exponential(1000, 0.01, 1+growth)
	memoryBuckets = histogram.Exponential(1e12, 1e7, 1+growth)
)

// CPUScheme is how CPU usage in cores is remembered.
func CPUScheme(halfLife time.Duration) *histogram.Scheme {
	return histogram.NewScheme(cpuBuckets, epsilon, halfLife)
}

// MemoryScheme is how peaks of memory in bytes are remembered.
func MemoryScheme(halfLife time.Duration) *histogram.Scheme {
	return histogram.NewScheme(memoryBuckets, epsilon, halfLife)
}

// Apply folds a delta into a new state and leaves the old one as it is.
func Apply(s State, d Delta) State {
	if !d.Checkpointed.IsZero() {
		s.Checkpointed = d.Checkpointed
	}
	s.Unsaved = without(s.Unsaved, d.Saved)
	if d.Learning == nil && len(d.Ended) == 0 && len(d.Expired) == 0 {
		return s
	}
	s = begin(s, d.Begun)
	l := &learner{from: s, to: State{
		Learned: orEmpty(maps.Clone(s.Learned)), Windows: orEmpty(maps.Clone(s.Windows)), Checkpointed: s.Checkpointed,
		Unsaved: s.Unsaved,
	}, touched: map[string]*Learned{}}
	if d.Learning != nil {
		l.config = *d.Learning
		l.cpu, l.memory = CPUScheme(l.config.CPUHalfLife), MemoryScheme(l.config.MemoryHalfLife)
		for container := range d.Begun {
			l.learned(container)
		}
		l.retime()
		l.samples(d.Samples)
		l.kills(d.Kills)
	}
	for container, learned := range l.touched {
		l.noteHalfLives(learned)
		l.to.Learned[container] = *learned
	}
	l.to.Unsaved = without(with(s.Unsaved, l.touched), d.Expired)
	for _, pod := range d.Ended {
		delete(l.to.Windows, pod)
	}
	for _, container := range d.Expired {
		delete(l.to.Learned, container)
	}
	return l.to
}

func orEmpty[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

// learner is one folding of samples. Float additions happen in the order of pods
// and containers.
type learner struct {
	config      Learning
	cpu, memory *histogram.Scheme
	from, to    State
	touched     map[string]*Learned
}

// learned gives what is known of a container, as a copy to be changed.
func (l *learner) learned(container string) *Learned {
	if have := l.touched[container]; have != nil {
		return have
	}
	own := l.from.Learned[container]
	own.CPU, own.Memory = own.CPU.Clone(), own.Memory.Clone()
	l.touched[container] = &own
	return &own
}

func (l *learner) samples(pods map[string]Samples) {
	for _, pod := range slices.Sorted(maps.Keys(pods)) {
		windows := orEmpty(maps.Clone(l.to.Windows[pod]))
		l.to.Windows[pod] = windows
		for _, container := range slices.Sorted(maps.Keys(pods[pod].Containers)) {
			usage, at, w := pods[pod].Containers[container], pods[pod].At, windows[container]
			learned := l.learned(container)
			if usage.CPU != nil {
				l.addCPU(&w, learned, *usage.CPU, at)
			}
			if usage.Memory != nil && *usage.Memory >= 0 && !at.Before(w.LastMemory) {
				if l.addMemory(&w, learned, peak{*usage.Memory, at, l.config.of(container).PeakInterval}) {
					w.Peak = *usage.Memory
				}
			}
			windows[container] = w
		}
	}
}

// addCPU counts a sample that is later than the last one.
func (l *learner) addCPU(w *Window, learned *Learned, milli int64, at time.Time) {
	if milli < 0 || !at.After(w.LastCPU) {
		return
	}
	w.LastCPU = at
	l.cpu.Add(&learned.CPU, float64(milli)/1000, cpuWeight, at)
	if at.After(learned.Last) {
		learned.Last = at
	}
	if learned.First.IsZero() || at.Before(learned.First) {
		learned.First = at
	}
	learned.Samples++
}

// peak is one usage that may be the highest of an interval of that length.
type peak struct {
	bytes    int64
	at       time.Time
	interval time.Duration
}

// addMemory holds one usage against the interval's peak and tells whether it is
// the new one. The peak stands in the histogram at the interval's end.
func (l *learner) addMemory(w *Window, learned *Learned, p peak) bool {
	bytes, at := p.bytes, p.at
	w.LastMemory = at
	if w.End.IsZero() {
		w.End = at
	}
	if at.Before(w.End) {
		highest := max(w.Peak, w.OOMPeak)
		if highest == 0 || bytes <= highest {
			return false
		}
		l.memory.Subtract(&learned.Memory, float64(highest), peakWeight, w.End)
	} else {
		w.End = w.End.Add(at.Sub(w.End).Truncate(p.interval) + p.interval)
		w.Peak, w.OOMPeak = 0, 0
	}
	l.memory.Add(&learned.Memory, float64(bytes), peakWeight, w.End)
	return true
}

// kills count as usage above what the container had: its request, or its peak
// where that was higher.
func (l *learner) kills(pods map[string]map[string]Kill) {
	for _, pod := range slices.Sorted(maps.Keys(pods)) {
		windows := orEmpty(maps.Clone(l.to.Windows[pod]))
		l.to.Windows[pod] = windows
		for _, container := range slices.Sorted(maps.Keys(pods[pod])) {
			kill, w := pods[pod][container], windows[container]
			w.Killed, w.KilledWith = kill.At, kill.Request
			config := l.config.of(container)
			if w.LastMemory.IsZero() || !kill.At.Before(w.LastMemory.Add(-config.PeakInterval)) {
				needed := kill.needs(w.Peak, config)
				if l.addMemory(&w, l.learned(container), peak{needed, kill.At, config.PeakInterval}) {
					w.OOMPeak = needed
				}
			}
			windows[container] = w
		}
	}
}

// Settled is what is known of a container without the peaks of intervals that
// still run at the time: they are learned anew by whoever reads a checkpoint.
func Settled(s State, container string, now time.Time, memoryHalfLife time.Duration) Learned {
	learned := s.Learned[container]
	learned.CPU, learned.Memory = learned.CPU.Clone(), learned.Memory.Clone()
	scheme := MemoryScheme(cmp.Or(learned.MemoryHalfLife, memoryHalfLife))
	for _, pod := range slices.Sorted(maps.Keys(s.Windows)) {
		if w, ok := s.Windows[pod][container]; ok && now.Before(w.End) {
			scheme.Subtract(&learned.Memory, float64(max(w.Peak, w.OOMPeak)), peakWeight, w.End)
		}
	}
	return learned
}

// Running are the intervals of a container's pods, by pod.
func Running(s State, container string) map[string]Window {
	out := map[string]Window{}
	for pod, windows := range s.Windows {
		if w, ok := windows[container]; ok {
			out[pod] = w
		}
	}
	return out
}

// amount cuts a number to a whole amount of a resource.
func amount(x float64) int64 {
	switch {
	case math.IsNaN(x) || x < 0:
		return 0
	case x > float64(maxAmount):
		return maxAmount
	}
	return int64(x)
}

func scaled(of int64, factor float64) int64 { return amount(float64(of) * factor) }
