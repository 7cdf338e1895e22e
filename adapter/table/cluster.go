package table

import (
	"k8s.io/apimachinery/pkg/labels"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Namespaces knows the labels of namespaces.
type Namespaces interface {
	// Labels gives a namespace's labels, or false where it is not known.
	Labels(namespace string) (labels.Set, bool)
}

// Choose says by which labels objects of the whole cluster choose the namespaces
// that they serve in. Without it only those that choose all serve.
func (t *Table) Choose(n Namespaces) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.namespaces = n
}

// Serves tells whether an object has anything to serve in a namespace. Whether
// another one goes before it is not asked.
func (t *Table) Serves(unit decision.Unit, namespace string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if _, known := t.units[unit]; !known {
		return false
	}
	return unit.Namespace == namespace || (unit.Namespace == "" && t.chooses(unit, namespace))
}

// shared gives the metric of the oldest object of the whole cluster that chooses
// the namespace.
func (t *Table) shared(namespace, metric string) (Entry, bool) {
	for _, e := range t.index[name{"", metric}] {
		if t.chooses(e.Unit, namespace) {
			return e, true
		}
	}
	return Entry{}, false
}

// chooses tells whether an object of the whole cluster serves in a namespace.
func (t *Table) chooses(unit decision.Unit, namespace string) bool {
	selector := t.selectors[unit]
	switch {
	case selector == nil:
		return true
	case t.namespaces == nil:
		return false
	}
	set, known := t.namespaces.Labels(namespace)
	return known && selector.Matches(set)
}

// scope notes which namespaces an object chooses. A selector that cannot be read
// chooses none.
func (t *Table) scope(unit decision.Unit, namespaces string) {
	if unit.Namespace != "" || namespaces == "" {
		delete(t.selectors, unit)
		return
	}
	if known := t.selectors[unit]; known != nil && known.String() == namespaces {
		return
	}
	selector, err := labels.Parse(namespaces)
	if err != nil {
		selector = labels.Nothing()
	}
	t.selectors[unit] = selector
}
