package estimator

import (
	"maps"
	"slices"
	"time"
)

// Usage is what a container used at a time. What was not measured is unset.
type Usage struct {
	At time.Time
	Amounts
}

// Recall gives the state of a recommender that had learned from pods while their
// usage was measured, by pod and container. Of each container the usages are in
// the order of time.
func Recall(pods map[string]map[string][]Usage, l Learning) State {
	past := &learner{
		config: l, cpu: CPUScheme(l.CPUHalfLife), memory: MemoryScheme(l.MemoryHalfLife),
		to: State{Learned: map[string]Learned{}, Windows: map[string]map[string]Window{}}, touched: map[string]*Learned{},
	}
	for _, pod := range slices.Sorted(maps.Keys(pods)) {
		windows := map[string]Window{}
		past.to.Windows[pod] = windows
		for _, container := range slices.Sorted(maps.Keys(pods[pod])) {
			var w Window
			learned, interval := past.learned(container), l.of(container).PeakInterval
			for _, u := range pods[pod][container] {
				if u.CPU != nil {
					past.addCPU(&w, learned, *u.CPU, u.At)
				}
				if u.Memory != nil && *u.Memory >= 0 && past.addMemory(&w, learned, peak{*u.Memory, u.At, interval}) {
					w.Peak = *u.Memory
				}
			}
			windows[container] = w
		}
	}
	for container, learned := range past.touched {
		past.to.Learned[container] = *learned
	}
	return past.to
}
