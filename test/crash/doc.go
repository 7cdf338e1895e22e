// Package crash kills a process with -9 at moments chosen by chance, lets it come back, and holds what it leaves behind
// against a run in which nobody killed it. The moments follow from a seed, which is printed, so that a round can be
// played again. It knows neither the binaries nor what they do: a test gives it the scene to play and what must hold
// afterwards.
package crash
