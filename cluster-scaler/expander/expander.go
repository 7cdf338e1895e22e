// Package expander chooses among the ways to make room for pods. It compares
// options that others have worked out and knows neither pods nor how they fit.
package expander

import "cmp"

// Option is one pool grown by some nodes.
type Option struct {
	Pool string
	// Nodes is how many nodes, Pods how many pods they take.
	Nodes, Pods int
	// Offered and Used are what the nodes have and what the pods on them request:
	// thousandths of CPUs, and bytes of memory.
	Offered, Used Amount
}

// Amount is of the two resources that waste is told by.
type Amount struct{ CPU, Memory int64 }

// Waste is the part of the offered resources that stays unused, the sum of CPU
// and memory: from 0, all is used, to 2, nothing is.
func (o Option) Waste() float64 {
	return unused(o.Offered.CPU, o.Used.CPU) + unused(o.Offered.Memory, o.Used.Memory)
}

func unused(offered, used int64) float64 {
	if offered <= 0 {
		return 0
	}
	return float64(max(offered-used, 0)) / float64(offered)
}

// LeastWaste picks the option that wastes least; of equals the one that takes
// more pods, then the one with fewer nodes, then the first by name. It gives -1
// where there is no option.
func LeastWaste(options []Option) int {
	best := -1
	for i := range options {
		if best < 0 || compare(options[i], options[best]) < 0 {
			best = i
		}
	}
	return best
}

func compare(a, b Option) int {
	return cmp.Or(
		cmp.Compare(a.Waste(), b.Waste()),
		cmp.Compare(b.Pods, a.Pods),
		cmp.Compare(a.Nodes, b.Nodes),
		cmp.Compare(a.Pool, b.Pool),
	)
}
