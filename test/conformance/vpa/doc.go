// Package vpa holds the decisions of the recommender, of the updater and of the
// admission webhook against upstream's own packages, on the same random inputs:
// recommendations, conditions and checkpoints to the last unit, the pod after the
// patch, and the pods that are evicted or resized. What may differ is listed in
// docs/differences.md, and here by the same headings; nothing else may. It holds
// tests only. How the binaries work on a real control plane is for test/e2e.
package vpa
