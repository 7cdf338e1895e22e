package decisionapi

import (
	"cmp"
	"container/list"
	"slices"
	"strings"
	"sync"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// defaultMaxUnits is above the largest cluster the suite is measured with.
const defaultMaxUnits = 20_000

// StoreConfig is what a Store is made of. Only Component is required.
type StoreConfig struct {
	// Component names the group, for example "hpa".
	Component string
	// Kind is the kind of unit whose decisions have the unit's own name. Units of
	// another kind are named kind.name in lower case, so that an
	// HorizontalPodAutoscaler and a HorizontalScaler may share a name. Empty means
	// that there is one kind only.
	Kind string
	// Shared tells whether a unit that has no namespace concerns one, in a store
	// whose units may have some: such a unit's decision is shown in each of those,
	// as if it were of that namespace, so that its users need no right beyond it.
	// Nil: in none.
	Shared func(unit decision.Unit, namespace string) bool
	// ClusterScoped is set where units have no namespace.
	ClusterScoped bool
	// MaxUnits bounds the store: beyond it the decision that was put longest ago
	// is dropped. Zero means 20,000.
	MaxUnits int
	// Leading tells whether this replica decides, and who does. Where it does not,
	// reading answers 503 and names the leader. Nil means that it always does.
	Leading func() (leading bool, holder string)
	// Clock tells ages in tables; nil means the real one.
	Clock clock.PassiveClock
}

// Store keeps the last decision of each unit. It is safe for concurrent use.
type Store struct {
	cfg StoreConfig

	mu      sync.RWMutex
	entries map[key]*list.Element
	// recent is ordered by the time of Put, the latest first.
	recent *list.List
}

// key is the namespace and name of the object that shows a unit's decision.
type key struct{ namespace, name string }

type entry struct {
	key    key
	unit   decision.Unit
	render func() Decision
}

// NewStore makes an empty store.
func NewStore(cfg StoreConfig) *Store {
	if cfg.MaxUnits <= 0 {
		cfg.MaxUnits = defaultMaxUnits
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	return &Store{cfg: cfg, entries: map[key]*list.Element{}, recent: list.New()}
}

// Component names the group that the store's decisions are served in.
func (s *Store) Component() string { return s.cfg.Component }

// Put sets the unit's last decision. Rendering is left to the reader, so that a
// loop pays next to nothing: render must be safe to call at any time, from any
// goroutine and more than once, which it is where it only reads a decision that
// nobody changes any more.
func (s *Store) Put(unit decision.Unit, render func() Decision) {
	k := s.key(unit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if element, ok := s.entries[k]; ok {
		element.Value = entry{key: k, unit: unit, render: render}
		s.recent.MoveToFront(element)
		return
	}
	s.entries[k] = s.recent.PushFront(entry{key: k, unit: unit, render: render})
	if s.recent.Len() > s.cfg.MaxUnits {
		s.remove(s.recent.Back())
	}
}

// Forget drops the decision of a unit that no longer exists.
func (s *Store) Forget(unit decision.Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if element, ok := s.entries[s.key(unit)]; ok {
		s.remove(element)
	}
}

func (s *Store) remove(element *list.Element) {
	delete(s.entries, element.Value.(entry).key)
	s.recent.Remove(element)
}

// key leaves the UID out: of two namesakes, the later decision is the answer.
func (s *Store) key(unit decision.Unit) key {
	name := unit.Name
	if s.cfg.Kind != "" && unit.Kind != s.cfg.Kind {
		name = strings.ToLower(unit.Kind) + "." + name
	}
	return key{namespace: unit.Namespace, name: name}
}

// Get renders one decision; false where there is none.
func (s *Store) Get(namespace, name string) (Decision, bool) {
	s.mu.RLock()
	var found entry
	element, ok := s.entries[key{namespace, name}]
	if ok {
		found = element.Value.(entry)
	} else if element, shared := s.entries[key{"", name}]; shared {
		found, ok = s.within(element.Value.(entry), namespace)
	}
	s.mu.RUnlock()
	if !ok {
		return Decision{}, false
	}
	return s.object(found), true
}

// within gives a unit without a namespace as one of the namespace, or false where
// it does not concern it.
func (s *Store) within(e entry, namespace string) (entry, bool) {
	if namespace == "" || e.key.namespace != "" || s.cfg.Shared == nil || !s.cfg.Shared(e.unit, namespace) {
		return entry{}, false
	}
	e.key.namespace = namespace
	return e, true
}

// List renders the decisions of a namespace, or all where it is empty, ordered
// by namespace and name.
func (s *Store) List(namespace string) []Decision {
	s.mu.RLock()
	found := make([]entry, 0, len(s.entries))
	for k, element := range s.entries {
		e := element.Value.(entry)
		if namespace == "" || k.namespace == namespace {
			found = append(found, e)
		} else if e, shared := s.within(e, namespace); shared {
			found = append(found, e)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(found, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.key.namespace, b.key.namespace), strings.Compare(a.key.name, b.key.name))
	})
	decisions := make([]Decision, len(found))
	for i, e := range found {
		decisions[i] = s.object(e)
	}
	return decisions
}

// object renders an entry and sets what identifies it.
func (s *Store) object(e entry) Decision {
	d := e.render()
	d.APIVersion, d.Kind = v1alpha1.GroupVersion(s.cfg.Component).String(), "Decision"
	d.Namespace, d.Name = e.key.namespace, e.key.name
	return d
}
