// Package updater is the room of vpa-updater: it evicts pods so that they come
// back with what is recommended. The choice (updater/eviction) is pure; its
// controller carries it out. It makes no recommendation and patches no pod, old
// or new, and does not resize in place yet.
package updater
