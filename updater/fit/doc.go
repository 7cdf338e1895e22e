// Package fit answers whether a pod will be admitted and find room once its
// requests and limits have changed: ResourceQuotas, LimitRanges, its quality of
// service, the nodes that are there and the node pools that may grow. It is pure
// and cautious: where it cannot tell it says no, and of everything that blocks it
// names the object and the nearest change that would help. It chooses no pod, and
// it places none: that is the scheduler's.
//
// Of scheduling it knows the sums of requests, node selectors, required node
// affinity, and taints with their tolerations. A pod that asks for more, such as
// anti-affinity between pods, spreading, volumes or ports of the node, is tied to
// the node that it is on, which met all of that. Preemption counts for nothing.
package fit
