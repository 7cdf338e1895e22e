// Package scheduling asks the scheduler's own plugins whether a pod fits a node,
// on a cluster held in memory. It is the only package that imports them, and it
// answers with verdicts of its own that name the plugin and its reasons. It
// chooses no node, knows no pool and does no I/O; what to do about a pod that
// fits nowhere is for scaleup and scaledown.
//
// The filters run in the order of the scheduler's default profile. Volumes,
// devices and gangs are not among them yet.
package scheduling
