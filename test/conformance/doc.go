// Package conformance holds the suite's controllers against upstream's own, which
// run beside them in one bubble of synthetic time on the same random inputs:
// whatever one writes or shows, the other has to. What may differ is listed in
// docs/differences.md, and here by the same headings; nothing else may. It holds
// tests only. How the controllers work on a real control plane is for test/e2e.
package conformance
