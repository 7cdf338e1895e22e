// Package nodepool is the model that plans are made of: pools, nodes, pods and
// budgets as small projections, the snapshot that holds them, and what a node of
// a pool's template is like. It is pure data and how to read it; it decides
// nothing, and whether a pod fits a node is for scheduling to say.
package nodepool
