package table

import "slices"

// Changed names a metric of which something was put or deleted: its value, its
// time, or who holds it. The namespace is empty where an object of the whole
// cluster holds it.
type Changed struct{ Namespace, Metric string }

// listener is one who is told; only is nil for one who wants everything.
type listener struct {
	only *Changed
	tell func(Changed)
}

// WatchAll calls tell after every change until stop is called. It is called by
// whoever changes the table, outside the table's lock, and must not block; calls
// may overlap and come in another order than the changes, so that what holds now
// is to be read from the table.
func (t *Table) WatchAll(tell func(Changed)) (stop func()) {
	return t.listen(&listener{tell: tell})
}

// Watch calls changed after changes of one metric as it is served in a namespace,
// by an object of the namespace or of the whole cluster. It is as WatchAll
// otherwise.
func (t *Table) Watch(namespace, metric string, changed func()) (stop func()) {
	return t.listen(&listener{only: &Changed{namespace, metric}, tell: func(Changed) { changed() }})
}

func (t *Table) listen(l *listener) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners = append(slices.Clone(t.listeners), l)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.listeners = slices.DeleteFunc(slices.Clone(t.listeners), func(o *listener) bool { return o == l })
	}
}

// touch notes a change to be told. The caller holds the mutex.
func (t *Table) touch(key name) {
	if len(t.listeners) > 0 {
		t.touched = append(t.touched, Changed{key.namespace, key.metric})
	}
}

// tell calls the listeners of what was touched. The caller does not hold the
// mutex.
func (t *Table) tell() {
	t.mu.Lock()
	touched, listeners := t.touched, t.listeners
	t.touched = nil
	t.mu.Unlock()
	for _, c := range touched {
		for _, l := range listeners {
			if l.wants(c) {
				l.tell(c)
			}
		}
	}
}

func (l *listener) wants(c Changed) bool {
	return l.only == nil || (c.Metric == l.only.Metric && (c.Namespace == l.only.Namespace || c.Namespace == ""))
}
