// Package runtimes finds the memory settings of language runtimes that are
// written out in a container, the GOMEMLIMIT of Go and the heap flags of a JVM,
// and scales them with the container's memory limit. It is pure. What a runtime
// takes from its container by itself, as a JVM's MaxRAMPercentage or an
// environment variable that refers to limits.memory, is none of its business:
// that follows the limit anyway.
package runtimes
