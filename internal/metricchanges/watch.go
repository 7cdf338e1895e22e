package metricchanges

import (
	"cmp"
	"container/list"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
)

// bookmarkEvery is how often a quiet watch is told how far it has come.
const bookmarkEvery = 30 * time.Second

// WatchOptions say what a watch is told.
type WatchOptions struct {
	Match func(*MetricChange) bool
	// From is the version of which the watcher has the state. Anew: it has none, and
	// is told of every metric that is there first.
	From uint64
	Anew bool
	// Bookmarks: it wants to be told from time to time how far it has come.
	Bookmarks bool
	// MarkEnd: a bookmark tells it when it was told of all that is there.
	MarkEnd bool
}

// watcher is one watch. What it is to be told is a set of metrics, not a list of
// events: so it holds no more than there are metrics, however far behind it is.
// The store's mutex guards all but the channels.
type watcher struct {
	store   *Store
	options WatchOptions
	// known are the metrics that the watcher knows to be there.
	known map[Key]bool
	// due are the keys to be told, that of the oldest change first; places finds them.
	due    *list.List
	places map[Key]*list.Element

	wake   chan struct{}
	events chan watch.Event
	ended  chan struct{}
	once   sync.Once
}

// Watch begins a watch. It fails with 410 where From is before what is remembered.
func (s *Store) Watch(o WatchOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, apierrors.NewServiceUnavailable(errClosed.Error())
	case !o.Anew && o.From < s.oldest:
		return nil, apierrors.NewResourceExpired(fmt.Sprintf(
			"what was deleted at resource version %d is no longer known, only from %d on", o.From, s.oldest))
	}
	w := &watcher{
		store: s, options: o, known: map[Key]bool{}, due: list.New(), places: map[Key]*list.Element{},
		wake: make(chan struct{}, 1), events: make(chan watch.Event), ended: make(chan struct{}),
	}
	var due []Key
	for key, i := range s.items {
		if !o.Anew && i.existed(o.From) {
			w.known[key] = true
		}
		if o.Anew || i.changed > o.From {
			due = append(due, key)
		}
	}
	slices.SortFunc(due, func(a, b Key) int { return cmp.Compare(s.items[a].changed, s.items[b].changed) })
	for _, key := range due {
		w.add(key)
	}
	s.watchers[w] = true
	go w.run()
	return w, nil
}

// add has the watcher told of a metric, after all that changed before it. The
// caller holds the store's mutex.
func (w *watcher) add(key Key) {
	if place, ok := w.places[key]; ok {
		w.due.MoveToBack(place)
		return
	}
	if i := w.store.items[key]; i != nil && !w.options.Match(i.object) {
		return
	}
	w.places[key] = w.due.PushBack(key)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ResultChan is closed when the watch has ended.
func (w *watcher) ResultChan() <-chan watch.Event { return w.events }

// Stop ends the watch.
func (w *watcher) Stop() {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.end()
}

// end is Stop for one who holds the store's mutex.
func (w *watcher) end() {
	delete(w.store.watchers, w)
	w.once.Do(func() { close(w.ended) })
}

func (w *watcher) run() {
	defer close(w.events)
	ticker := w.store.clock.NewTicker(bookmarkEvery)
	defer ticker.Stop()
	markEnd := w.options.MarkEnd
	for {
		event, some := w.next()
		if !some && markEnd {
			markEnd, some = false, true
			event.Object.(*MetricChange).Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		}
		if !some {
			select {
			case <-w.ended:
				return
			case <-w.wake:
				continue
			case <-ticker.C():
				if !w.options.Bookmarks {
					continue
				}
			}
		}
		select {
		case <-w.ended:
			return
		case w.events <- event:
		}
	}
}

// next takes what the watcher is to be told next; where that is nothing it gives
// false and a bookmark of how far the watcher has come.
func (w *watcher) next() (watch.Event, bool) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for w.due.Len() > 0 {
		key := w.due.Remove(w.due.Front()).(Key)
		delete(w.places, key)
		i, known := w.store.items[key], w.known[key]
		switch {
		case i == nil || i.deleted:
			delete(w.known, key)
			if !known {
				continue
			}
			gone := objectOf(key, State{}, w.store.newest)
			if i != nil {
				gone = i.object.DeepCopyObject().(*MetricChange)
			}
			return watch.Event{Type: watch.Deleted, Object: gone}, true
		case known:
			return watch.Event{Type: watch.Modified, Object: i.object.DeepCopyObject()}, true
		}
		w.known[key] = true
		return watch.Event{Type: watch.Added, Object: i.object.DeepCopyObject()}, true
	}
	mark := &MetricChange{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind}}
	mark.ResourceVersion = strconv.FormatUint(w.store.newest, 10)
	return watch.Event{Type: watch.Bookmark, Object: mark}, false
}
