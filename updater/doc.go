// Package updater is the room of vpa-updater: it resizes pods in place to what is
// recommended, or evicts them so that they come back with it. The choice
// (updater/eviction) and the arithmetic of resizes (updater/resize) are pure; the
// controller carries the choice out. It makes no recommendation and patches no new
// pod.
package updater
