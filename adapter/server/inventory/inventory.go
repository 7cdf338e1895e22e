// Package inventory knows the objects of the cluster as custom metrics need them:
// the kind that a resource has, and the names of the objects that a label selector
// matches. Names come from watches of metadata that are begun when they are first
// asked for and ended when nobody asks any more, so that no read lists anything.
// It knows no metric.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"
)

const (
	// kindFor is how long a resource's kind is believed.
	kindFor = 10 * time.Minute
	// noKindFor is how long it is believed that a resource has none, and how long
	// discovery is left alone after a failure.
	noKindFor = 15 * time.Second
	// firstList bounds the wait for the first list of a resource.
	firstList = 5 * time.Second
	// unusedFor is how long a watch is kept that nobody asks.
	unusedFor = 10 * time.Minute
	// sweepEvery is how often watches are looked at for that.
	sweepEvery = time.Minute
)

// Config is what an Inventory is made of.
type Config struct {
	// Mapper finds kinds; it may ask the API server.
	Mapper apimeta.RESTMapper
	// Client lists and watches metadata.
	Client metadata.Interface
	Clock  clock.Clock
}

func (c Config) validate() error {
	if c.Mapper == nil || c.Client == nil || c.Clock == nil {
		return errors.New("inventory: Mapper, Client and Clock are required")
	}
	return nil
}

// Inventory is safe for use by several goroutines.
type Inventory struct {
	cfg Config
	// life ends all watches.
	life context.Context //nolint:containedctx // the watches' own, ended by Run
	end  context.CancelFunc

	mu      sync.Mutex
	kinds   map[schema.GroupResource]*kind
	watches map[watchKey]*watch
	// first are the questions about kinds of which nothing is known yet, closed when
	// they are answered.
	first map[schema.GroupResource]chan struct{}
}

// kind is what the cluster said of a resource.
type kind struct {
	gvk schema.GroupVersionKind
	gvr schema.GroupVersionResource
	err error
	at  time.Time
	// asking: somebody is asking anew.
	asking bool
}

type watchKey struct {
	resource  schema.GroupVersionResource
	namespace string
}

// New makes an Inventory without any watch. Run ends those that come.
func New(cfg Config) (*Inventory, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	return &Inventory{
		cfg: cfg, life: life, end: end,
		kinds: map[schema.GroupResource]*kind{}, watches: map[watchKey]*watch{},
		first: map[schema.GroupResource]chan struct{}{},
	}, nil
}

// Run ends watches that nobody asks, and all of them when the context ends.
func (i *Inventory) Run(ctx context.Context) error {
	defer i.end()
	ticker := i.cfg.Clock.NewTimer(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			i.sweep()
			ticker.Reset(sweepEvery)
		}
	}
}

func (i *Inventory) sweep() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for key, w := range i.watches {
		if i.cfg.Clock.Since(w.asked) > unusedFor {
			w.stop()
			delete(i.watches, key)
		}
	}
}

// Watches is the number of resources and namespaces being watched.
func (i *Inventory) Watches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.watches)
}

// Kind gives the kind of a resource in the version that the cluster prefers. An
// error for which meta.IsNoMatchError holds says that the cluster has none.
func (i *Inventory) Kind(resource schema.GroupResource) (schema.GroupVersionKind, error) {
	k := i.kind(resource)
	return k.gvk, k.err
}

// errNotTold is the answer while the first question about a kind is under way.
var errNotTold = errors.New("the API server has not answered in time")

// kind asks the cluster the first time, and later behind the callers' backs: what
// was known is given until there is something newer. One question serves all who ask
// the first time, and they wait for it no longer than for a first list.
func (i *Inventory) kind(resource schema.GroupResource) kind {
	i.mu.Lock()
	if i.kinds[resource] == nil {
		answered := i.first[resource]
		if answered == nil {
			answered = make(chan struct{})
			i.first[resource] = answered
			go i.askFirst(resource, answered)
		}
		i.mu.Unlock()
		timer := i.cfg.Clock.NewTimer(firstList)
		defer timer.Stop()
		select {
		case <-answered:
		case <-timer.C():
			return kind{err: errNotTold}
		}
		i.mu.Lock()
	}
	known := i.kinds[resource]
	lasts := kindFor
	if known.err != nil {
		lasts = noKindFor
	}
	if i.cfg.Clock.Since(known.at) > lasts && !known.asking {
		known.asking = true
		go func() { i.keep(resource, i.ask(resource)) }()
	}
	defer i.mu.Unlock()
	return *known
}

func (i *Inventory) askFirst(resource schema.GroupResource, answered chan struct{}) {
	i.keep(resource, i.ask(resource))
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.first, resource)
	close(answered)
}

// keep stores an answer. A kind that was known stays where the cluster could not
// be asked.
func (i *Inventory) keep(resource schema.GroupResource, fresh kind) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if known := i.kinds[resource]; known != nil && known.err == nil && fresh.err != nil && !apimeta.IsNoMatchError(fresh.err) {
		fresh.gvk, fresh.gvr, fresh.err = known.gvk, known.gvr, nil
	}
	i.kinds[resource] = &fresh
}

func (i *Inventory) ask(resource schema.GroupResource) kind {
	out := kind{at: i.cfg.Clock.Now()}
	if out.gvk, out.err = i.cfg.Mapper.KindFor(resource.WithVersion("")); out.err != nil {
		return out
	}
	mapping, err := i.cfg.Mapper.RESTMapping(out.gvk.GroupKind(), out.gvk.Version)
	if err != nil {
		out.err = err
		return out
	}
	out.gvr = mapping.Resource
	return out
}

// Names gives the names of the objects of a resource that a selector matches, of
// one namespace, or of the cluster where it is empty. The first question about a
// resource and namespace waits for the first list, later ones wait for nothing.
func (i *Inventory) Names(ctx context.Context, resource schema.GroupResource, namespace string, selector labels.Selector) (map[string]bool, error) {
	k := i.kind(resource)
	if k.err != nil {
		return nil, fmt.Errorf("find the kind of %s: %w", resource, k.err)
	}
	w := i.watch(watchKey{resource: k.gvr, namespace: namespace})
	if err := w.ready(ctx); err != nil {
		return nil, fmt.Errorf("list %s: %w", resource, err)
	}
	return w.names(selector), nil
}

func (i *Inventory) watch(key watchKey) *watch {
	i.mu.Lock()
	defer i.mu.Unlock()
	w := i.watches[key]
	if w == nil {
		w = newWatch(i.life, i.cfg.Client, key)
		i.watches[key] = w
		slog.Info("Watching the names and labels of objects", "resource", key.resource.String(), "namespace", key.namespace)
	}
	w.asked = i.cfg.Clock.Now()
	return w
}

// IsForbidden tells whether an error of Names is that of a permission that is
// missing.
func IsForbidden(err error) bool { return apierrors.IsForbidden(err) }
