package metricchanges

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
)

// defaultMaxDeleted bounds what is remembered of metrics that are gone.
const defaultMaxDeleted = 10_000

// Key names a metric.
type Key struct{ Namespace, Name string }

// item is one metric, or what is remembered of one that is gone.
type item struct {
	// object is never changed in place.
	object *MetricChange
	// created and changed are resource versions.
	created, changed uint64
	deleted          bool
}

// existed tells whether the metric was there at a resource version.
func (i *item) existed(at uint64) bool {
	return i.created <= at && (!i.deleted || at < i.changed)
}

// Store keeps the present state of each metric and tells watchers of changes. It
// is safe for concurrent use, and nothing that it does waits for a watcher.
//
// A resource version is a time in microseconds, raised where two changes fall
// into one: so versions of one replica mean to another what they say, and a watch
// may go on at another replica as long as that one was there at that time.
type Store struct {
	clock      clock.WithTicker
	maxDeleted int

	mu    sync.Mutex
	items map[Key]*item
	// newest is the version of the last change, oldest the first from which all
	// deletions are remembered.
	newest, oldest uint64
	// deleted are the remembered deletions, the oldest first.
	deleted  []grave
	watchers map[*watcher]bool
	closed   bool
}

type grave struct {
	key Key
	at  uint64
}

// NewStore makes an empty store.
func NewStore(c clock.WithTicker) *Store {
	now := uint64(c.Now().UnixMicro()) //nolint:gosec // after 1970
	return &Store{
		clock: c, maxDeleted: defaultMaxDeleted, newest: now, oldest: now,
		items: map[Key]*item{}, watchers: map[*watcher]bool{},
	}
}

// Set takes the present state of a metric. Watchers are told where that is news.
func (s *Store) Set(key Key, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.items[key]
	if before != nil && !before.deleted && !before.object.Tells(state) {
		object := *before.object
		object.State = state
		before.object = &object
		return
	}
	version := s.next()
	after := &item{created: version, changed: version, object: objectOf(key, state, version)}
	if before != nil && !before.deleted {
		after.created = before.created
	}
	s.items[key] = after
	s.tell(key)
}

// Delete takes note that nothing serves the metric any more.
func (s *Store) Delete(key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.items[key]
	if before == nil || before.deleted {
		return
	}
	version := s.next()
	s.items[key] = &item{
		created: before.created, changed: version, deleted: true,
		object: objectOf(key, before.object.State, version),
	}
	s.deleted = append(s.deleted, grave{key, version})
	s.tell(key)
	for len(s.deleted) > s.maxDeleted {
		oldest := s.deleted[0]
		s.deleted = s.deleted[1:]
		s.oldest = oldest.at
		if i := s.items[oldest.key]; i.deleted && i.changed == oldest.at {
			delete(s.items, oldest.key)
		}
	}
}

// next gives the version of a change that happens now. The caller holds the mutex.
func (s *Store) next() uint64 {
	now := uint64(s.clock.Now().UnixMicro()) //nolint:gosec // after 1970
	s.newest = max(now, s.newest+1)
	return s.newest
}

func (s *Store) tell(key Key) {
	for w := range s.watchers {
		w.add(key)
	}
}

func objectOf(key Key, state State, version uint64) *MetricChange {
	return &MetricChange{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, ResourceVersion: strconv.FormatUint(version, 10),
		},
		State: state,
	}
}

// Get gives one metric, or false where nothing serves it.
func (s *Store) Get(key Key) (*MetricChange, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.items[key]
	if i == nil || i.deleted {
		return nil, false
	}
	return i.object.DeepCopyObject().(*MetricChange), true
}

// Keys are all metrics, in no order.
func (s *Store) Keys() []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]Key, 0, len(s.items))
	for key, i := range s.items {
		if !i.deleted {
			keys = append(keys, key)
		}
	}
	return keys
}

// List gives the metrics that match, by namespace and name, and the version as of
// which that is so.
func (s *Store) List(match func(*MetricChange) bool) *MetricChangeList {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &MetricChangeList{Items: []MetricChange{}}
	list.ResourceVersion = strconv.FormatUint(s.newest, 10)
	for _, i := range s.items {
		if !i.deleted && match(i.object) {
			list.Items = append(list.Items, *i.object.DeepCopyObject().(*MetricChange))
		}
	}
	slices.SortFunc(list.Items, func(a, b MetricChange) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return list
}

// errClosed answers those who come while the process ends.
var errClosed = errors.New("the process is shutting down")

// Close ends all watches and takes no more.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for w := range s.watchers {
		w.end()
	}
}
