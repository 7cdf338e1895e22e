package table

import (
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// ObjectMetric names one metric of one kind of object.
type ObjectMetric struct {
	Metric, Group, Resource string
	// Namespaced tells whether the objects are within namespaces.
	Namespaced bool
}

// ObjectEntry is all that one MetricSource serves of one metric about one object:
// one value for each set of labels. It is shared and must not be changed.
type ObjectEntry struct {
	Facts  *query.Facts
	Values []query.ObjectValue
}

// Name is the object's.
func (e ObjectEntry) Name() string { return e.Values[0].Name }

// objectGroup is the part of a unit's values that is about one metric and the
// objects of one kind in one namespace.
type objectGroup struct {
	unit  decision.Unit
	facts *query.Facts
	// values are sorted by name.
	values []query.ObjectValue
}

// groupKey finds groups; the namespace is empty for objects without one.
type groupKey struct{ metric, group, resource, namespace string }

func keyOf(v query.ObjectValue) groupKey { return groupKey{v.Metric, v.Group, v.Resource, v.Namespace} }

func (k groupKey) metricOf() ObjectMetric {
	return ObjectMetric{Metric: k.metric, Group: k.group, Resource: k.resource, Namespaced: k.namespace != ""}
}

// objects is the index of values about objects. The table's mutex guards it.
type objects struct {
	// groups holds, for each key, the groups of all units; see goesBefore.
	groups map[groupKey][]objectGroup
	// metrics counts the keys of each metric.
	metrics map[ObjectMetric]int
	// listed caches the sorted metrics, nil when they changed.
	listed []ObjectMetric
}

func newObjects() objects {
	return objects{groups: map[groupKey][]objectGroup{}, metrics: map[ObjectMetric]int{}}
}

// groupsOf cuts sorted values into groups; nil has none. It copies no value.
func groupsOf(unit decision.Unit, served *query.Served) []objectGroup {
	if served == nil {
		return nil
	}
	var out []objectGroup
	for rest := served.Objects.Values; len(rest) > 0; {
		key := keyOf(rest[0])
		n := slices.IndexFunc(rest, func(v query.ObjectValue) bool { return keyOf(v) != key })
		if n < 0 {
			n = len(rest)
		}
		out = append(out, objectGroup{unit: unit, facts: &served.Facts, values: rest[:n:n]})
		rest = rest[n:]
	}
	return out
}

// replace puts a unit's groups in the place of those that it had.
func (o *objects) replace(before, after []objectGroup) {
	kept := map[groupKey]bool{}
	for _, g := range after {
		key := keyOf(g.values[0])
		kept[key] = true
		if i := slices.IndexFunc(o.groups[key], func(other objectGroup) bool { return other.unit == g.unit }); i >= 0 &&
			o.groups[key][i].facts.Created.Equal(g.facts.Created) {
			// Most often: nothing but values changed, and so no order.
			o.groups[key][i] = g
			continue
		}
		groups := slices.DeleteFunc(o.groups[key], func(other objectGroup) bool { return other.unit == g.unit })
		if len(groups) == 0 && len(o.groups[key]) == 0 {
			o.count(key, 1)
		}
		groups = append(groups, g)
		slices.SortFunc(groups, goesBefore)
		o.groups[key] = groups
	}
	for _, g := range before {
		if key := keyOf(g.values[0]); !kept[key] {
			o.remove(key, g.unit)
		}
	}
}

// goesBefore orders units: one of the namespace before one of the cluster, and
// then the older before the younger.
func goesBefore(a, b objectGroup) int {
	if ofCluster := a.unit.Namespace == ""; ofCluster != (b.unit.Namespace == "") {
		if ofCluster {
			return 1
		}
		return -1
	}
	return olderFirst(Entry{Unit: a.unit, Facts: a.facts}, Entry{Unit: b.unit, Facts: b.facts})
}

func (o *objects) remove(key groupKey, unit decision.Unit) {
	groups := slices.DeleteFunc(o.groups[key], func(g objectGroup) bool { return g.unit == unit })
	if len(groups) > 0 {
		o.groups[key] = groups
		return
	}
	delete(o.groups, key)
	o.count(key, -1)
}

func (o *objects) count(key groupKey, by int) {
	metric := key.metricOf()
	before := o.metrics[metric]
	if o.metrics[metric] = before + by; before+by == 0 {
		delete(o.metrics, metric)
	}
	if before == 0 || before+by == 0 {
		o.listed = nil
	}
}

// find gives the values about one object of a group, or none.
func (g *objectGroup) find(name string) ([]query.ObjectValue, bool) {
	i, found := slices.BinarySearchFunc(g.values, name, func(v query.ObjectValue, name string) int {
		return strings.Compare(v.Name, name)
	})
	if !found {
		return nil, false
	}
	end := i + 1
	for end < len(g.values) && g.values[end].Name == name {
		end++
	}
	return g.values[i:end:end], true
}

// groups gives those of a metric and a namespace, without those of units of the
// cluster that do not choose the namespace. The caller holds the mutex.
func (t *Table) groups(metric ObjectMetric, namespace string) []objectGroup {
	all := t.objects.groups[groupKey{metric.Metric, metric.Group, metric.Resource, namespace}]
	left := func(g objectGroup) bool { return t.left(&g, namespace) }
	if !slices.ContainsFunc(all, left) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), left)
}

// left tells whether a group is of a unit of the cluster that does not choose the
// namespace.
func (t *Table) left(g *objectGroup, namespace string) bool {
	return g.unit.Namespace == "" && namespace != "" && !t.chooses(g.unit, namespace)
}

// Object gives a metric of one object from the MetricSource that goes before
// all others that have it, or false where none has. The namespace is empty for objects without one.
func (t *Table) Object(metric ObjectMetric, namespace, name string) (ObjectEntry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := t.objects.groups[groupKey{metric.Metric, metric.Group, metric.Resource, namespace}]
	for i := range all {
		if values, ok := all[i].find(name); ok && !t.left(&all[i], namespace) {
			return ObjectEntry{Facts: all[i].facts, Values: values}, true
		}
	}
	return ObjectEntry{}, false
}

// Objects gives a metric of all objects of a namespace, by name, each as
// Object gives it.
func (t *Table) Objects(metric ObjectMetric, namespace string) []ObjectEntry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	groups := t.groups(metric, namespace)
	var out []ObjectEntry
	var taken map[string]bool // where there are several groups
	if len(groups) > 1 {
		taken = map[string]bool{}
	}
	for _, g := range groups {
		for rest := g.values; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Name == rest[0].Name {
				n++
			}
			if name := rest[0].Name; taken == nil || !taken[name] {
				out = append(out, ObjectEntry{Facts: g.facts, Values: rest[:n:n]})
				if taken != nil {
					taken[name] = true
				}
			}
			rest = rest[n:]
		}
	}
	if len(groups) > 1 {
		slices.SortFunc(out, func(a, b ObjectEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return out
}

// HoldsObjects tells whether any object of a namespace has the metric.
func (t *Table) HoldsObjects(metric ObjectMetric, namespace string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.groups(metric, namespace)) > 0
}

// ObjectMetrics are the metrics held of objects of any namespace, sorted by
// resource, group and metric. The slice is shared and must not be changed.
func (t *Table) ObjectMetrics() []ObjectMetric {
	t.mu.RLock()
	listed := t.objects.listed
	t.mu.RUnlock()
	if listed != nil {
		return listed
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.objects.listed == nil {
		t.objects.listed = make([]ObjectMetric, 0, len(t.objects.metrics))
		for m := range t.objects.metrics {
			t.objects.listed = append(t.objects.listed, m)
		}
		slices.SortFunc(t.objects.listed, compareMetrics)
	}
	return t.objects.listed
}

// compareMetrics puts those within namespaces first among metrics of one name.
func compareMetrics(a, b ObjectMetric) int {
	c := slices.Compare([]string{a.Resource, a.Group, a.Metric}, []string{b.Resource, b.Group, b.Metric})
	switch {
	case c != 0 || a.Namespaced == b.Namespaced:
		return c
	case a.Namespaced:
		return -1
	}
	return 1
}
