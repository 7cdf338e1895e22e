// Package table is the memory that serving reads come from: what every
// MetricSource has to serve, by namespace and metric name. It holds no clock and
// judges nothing; where two objects hold one name, the older is given, and an
// object of the namespace before one of the whole cluster.
package table

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Entry is one metric as one object serves it.
type Entry struct {
	Unit   decision.Unit
	Facts  *query.Facts
	Sample query.Sample
}

type name struct{ namespace, metric string }

// Table is safe for use by several goroutines; reads do not wait for each other.
type Table struct {
	mu    sync.RWMutex
	units map[decision.Unit]*query.Served
	// index holds, for each name, the entries of all objects, the oldest first.
	index map[name][]Entry
	// selectors are those of the objects of the whole cluster that do not choose
	// every namespace.
	selectors  map[decision.Unit]labels.Selector
	namespaces Namespaces
	// names counts the namespaces in which each metric name is held.
	names map[string]int
	// sorted caches the sorted names, nil when they changed.
	sorted []string
	// objects indexes the values about Kubernetes objects.
	objects objects
	// listeners are told of what was touched; the slice is never changed in place.
	listeners []*listener
	touched   []Changed
}

// New makes an empty table.
func New() *Table {
	return &Table{
		units:     map[decision.Unit]*query.Served{},
		index:     map[name][]Entry{},
		selectors: map[decision.Unit]labels.Selector{},
		names:     map[string]int{},
		objects:   newObjects(),
	}
}

// Put replaces all that an object serves. The value must not be changed after.
func (t *Table) Put(unit decision.Unit, served query.Served) {
	defer t.tell()
	groups := groupsOf(unit, &served)
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.units[unit]
	t.units[unit] = &served
	t.scope(unit, served.Facts.Namespaces)
	if old != nil {
		for _, s := range old.Samples {
			if !holds(served, s.Metric) {
				t.remove(unit, s.Metric)
			}
		}
	}
	for _, s := range served.Samples {
		t.insert(Entry{Unit: unit, Facts: &served.Facts, Sample: s})
	}
	t.objects.replace(groupsOf(unit, old), groups)
}

// Delete removes all that an object serves.
func (t *Table) Delete(unit decision.Unit) {
	defer t.tell()
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.units[unit]
	if old == nil {
		return
	}
	delete(t.units, unit)
	delete(t.selectors, unit)
	for _, s := range old.Samples {
		t.remove(unit, s.Metric)
	}
	t.objects.replace(groupsOf(unit, old), nil)
}

func holds(served query.Served, metric string) bool {
	return slices.ContainsFunc(served.Samples, func(s query.Sample) bool { return s.Metric == metric })
}

func (t *Table) insert(e Entry) {
	key := name{e.Unit.Namespace, e.Sample.Metric}
	t.touch(key)
	entries := t.index[key]
	if i := slices.IndexFunc(entries, func(o Entry) bool { return o.Unit == e.Unit }); i >= 0 {
		entries[i] = e
	} else {
		if len(entries) == 0 {
			t.count(e.Sample.Metric, 1)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, olderFirst)
	t.index[key] = entries
}

func (t *Table) remove(unit decision.Unit, metric string) {
	key := name{unit.Namespace, metric}
	t.touch(key)
	entries := slices.DeleteFunc(t.index[key], func(o Entry) bool { return o.Unit == unit })
	if len(entries) == 0 {
		delete(t.index, key)
		t.count(metric, -1)
		return
	}
	t.index[key] = entries
}

func (t *Table) count(metric string, by int) {
	before := t.names[metric]
	after := before + by
	if after == 0 {
		delete(t.names, metric)
	} else {
		t.names[metric] = after
	}
	if before == 0 || after == 0 {
		t.sorted = nil
	}
}

func olderFirst(a, b Entry) int {
	if c := a.Facts.Created.Compare(b.Facts.Created); c != 0 {
		return c
	}
	if a.Unit.Name < b.Unit.Name {
		return -1
	}
	if a.Unit.Name > b.Unit.Name {
		return 1
	}
	return 0
}

// Get gives the metric of a namespace, or false where none is held. The entry is
// shared and must not be changed.
func (t *Table) Get(namespace, metric string) (Entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	entries := t.index[name{namespace, metric}]
	if len(entries) == 0 {
		return t.shared(namespace, metric)
	}
	return entries[0], true
}

// Names are the metric names held in any namespace, sorted. The slice is shared
// and must not be changed.
func (t *Table) Names() []string {
	t.mu.RLock()
	sorted := t.sorted
	t.mu.RUnlock()
	if sorted != nil {
		return sorted
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sorted == nil {
		t.sorted = make([]string, 0, len(t.names))
		for n := range t.names {
			t.sorted = append(t.sorted, n)
		}
		slices.Sort(t.sorted)
	}
	return t.sorted
}

// Facts gives the facts of every object, in no order.
func (t *Table) Facts() []query.Facts {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]query.Facts, 0, len(t.units))
	for _, served := range t.units {
		out = append(out, served.Facts)
	}
	return out
}
