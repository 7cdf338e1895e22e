// Package scaledown plans which nodes go: it finds nodes whose pods fit
// elsewhere, waits until they have long been unneeded, and leads each through
// its phases: tainted, drained pod by pod as budgets allow, deleted; or given
// back where it is wanted again. Every node gets a verdict. It is pure: all that
// a drain is known by is in the snapshot, so whoever leads next goes on with it.
package scaledown
