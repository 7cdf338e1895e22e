// Package updater is the room of vpa-updater: it will choose which pods to resize
// in place or to evict so that they run with what is recommended, within
// disruption budgets and windows. The choice (updater/eviction) will be pure; its
// controller carries it out. It makes no recommendation and patches no new pod.
// No binary of this version serves it.
package updater
