// Package budget watches a cluster from outside and says whether an eviction ever broke a PodDisruptionBudget. It
// believes nobody: how many pods are healthy it counts from the pods, how many must be it works out from the budget's
// spec and the scale of the pods' owners, and what was an eviction it reads from the condition that the eviction API
// leaves on a pod. It neither reads a budget's status nor shares code with what evicts; it prevents nothing.
package budget
