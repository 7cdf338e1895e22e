// Package toolchain puts the programs that a lab runs into the user's cache and says where they are: the
// Kubernetes binaries that test/lab/binaries pins, built once and keyed by their content, and this checkout's own
// commands, which `go build` is asked for each time, as it is for those of upstream's vertical autoscaler that
// test/lab/vpabinaries pins.
//
// Several processes may ask at once: the first builds while the others wait, and what is there is complete because
// it arrived by a rename. Nothing is written outside the cache, so an interrupted build leaves nothing elsewhere.
// It does not run what it builds.
package toolchain
