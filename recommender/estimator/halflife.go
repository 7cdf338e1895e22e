package estimator

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Decay is how histories come from one half-life to another.
type Decay struct {
	At time.Time `json:"at"`
	// CPU and Memory are the half-lives of the flags: those of a history that
	// states none.
	CPU    time.Duration `json:"cpu"`
	Memory time.Duration `json:"memory"`
}

// decay is nil where all histories have the half-lives of the flags and are to
// keep them, so that nothing is to be done.
func (t *turn) decay() *Decay {
	c, flags := t.s.Config, t.flags
	other := c.CPU.HalfLife != flags.CPU.HalfLife || c.Memory.HalfLife != flags.Memory.HalfLife
	for _, all := range []map[string]Learned{t.state.Learned, t.d.Observed.Begun} {
		for _, l := range all {
			other = other || l.CPUHalfLife != 0 || l.MemoryHalfLife != 0
		}
	}
	if !other {
		return nil
	}
	return &Decay{At: t.s.Now, CPU: flags.CPU.HalfLife, Memory: flags.Memory.HalfLife}
}

// retime brings all histories to the half-lives of the learning.
func (l *learner) retime() {
	d := l.config.Decay
	if d == nil {
		return
	}
	for _, container := range slices.Sorted(maps.Keys(l.from.Learned)) {
		have := l.from.Learned[container]
		if cmp.Or(have.CPUHalfLife, d.CPU) == l.config.CPUHalfLife && cmp.Or(have.MemoryHalfLife, d.Memory) == l.config.MemoryHalfLife {
			continue
		}
		learned := l.learned(container)
		l.cpu.Retime(&learned.CPU, cmp.Or(learned.CPUHalfLife, d.CPU), d.At)
		l.retimeMemory(container, learned)
	}
}

// retimeMemory takes the peaks of the intervals that run out for the change, and
// puts them back: at their ends, which are still to come, they weigh something
// else with another half-life, and they are taken out again by a higher peak.
func (l *learner) retimeMemory(container string, learned *Learned) {
	from, at := cmp.Or(learned.MemoryHalfLife, l.config.Decay.Memory), l.config.Decay.At
	if from == l.config.MemoryHalfLife {
		return
	}
	before := MemoryScheme(from)
	var running []Window
	for _, pod := range slices.Sorted(maps.Keys(l.from.Windows)) {
		if w, ok := l.from.Windows[pod][container]; ok && at.Before(w.End) && w.highest() > 0 {
			running = append(running, w)
			before.Subtract(&learned.Memory, float64(w.highest()), peakWeight, w.End)
		}
	}
	l.memory.Retime(&learned.Memory, from, at)
	for _, w := range running {
		l.memory.Add(&learned.Memory, float64(w.highest()), peakWeight, w.End)
	}
}

// noteHalfLives states the half-lives of a history that was touched, where they are not
// those of the flags.
func (l *learner) noteHalfLives(learned *Learned) {
	learned.CPUHalfLife, learned.MemoryHalfLife = 0, 0
	d := l.config.Decay
	if d == nil {
		return
	}
	if l.config.CPUHalfLife != d.CPU {
		learned.CPUHalfLife = l.config.CPUHalfLife
	}
	if l.config.MemoryHalfLife != d.Memory {
		learned.MemoryHalfLife = l.config.MemoryHalfLife
	}
}

// highest is the peak of the interval that stands in the histogram.
func (w Window) highest() int64 { return max(w.Peak, w.OOMPeak) }

// InHalfLives gives a history as recommenders with other half-lives read it: the
// format of checkpoints has no place for them. It shares nothing with l.
func InHalfLives(l Learned, cpu, memory time.Duration, at time.Time) Learned {
	l.CPU, l.Memory = l.CPU.Clone(), l.Memory.Clone()
	CPUScheme(cpu).Retime(&l.CPU, cmp.Or(l.CPUHalfLife, cpu), at)
	MemoryScheme(memory).Retime(&l.Memory, cmp.Or(l.MemoryHalfLife, memory), at)
	l.CPUHalfLife, l.MemoryHalfLife = 0, 0
	return l
}
