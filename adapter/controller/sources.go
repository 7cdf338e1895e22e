package controller

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

const (
	// secretsRefresh is how old what is known of a Secret may be.
	secretsRefresh = 15 * time.Second
	// secretsRetry is how soon an object that cannot be used is tried again, and
	// one whose credentials were refused.
	secretsRetry = 5 * time.Second
)

// sources is the loop's Observer: it keeps the collector's subscriptions as the
// objects want them, and gathers what a decision needs.
type sources struct {
	cfg       Config
	collector *collector.Collector
	secrets   *secretCache
	// namespaces are watched once an object chooses by them.
	namespaces *Namespaces

	mu    sync.Mutex
	built map[types.NamespacedName]*built
}

// built is what was made of one object.
type built struct {
	// generation and at are those of the newest attempt, good or not.
	generation int64
	at         time.Time
	uses       bool // whether Secrets were read for it
	// spec is the last good one; nil before the first.
	spec  *query.Spec
	fault *decision.Fault
}

func newSources(cfg Config, c *collector.Collector, n *Namespaces) *sources {
	return &sources{
		cfg: cfg, collector: c, namespaces: n,
		secrets: newSecretCache(cfg.Secrets, cfg.Clock, secretsRefresh),
		built:   map[types.NamespacedName]*built{},
	}
}

// unit names the object as it is now, or gives false where it is gone.
func (s *sources) unit(ctx context.Context, key types.NamespacedName) (decision.Unit, bool, error) {
	o, err := read(ctx, s.cfg.Objects, key)
	if o == nil || err != nil {
		return decision.Unit{}, false, err
	}
	return o.unit(), true, nil
}

// Observe gathers everything that a decision on the unit is made from.
func (s *sources) Observe(ctx context.Context, unit decision.Unit, now time.Time) (query.Snapshot, error) {
	key := keyOfUnit(unit)
	object, err := read(ctx, s.cfg.Objects, key)
	switch {
	case err != nil:
		return query.Snapshot{}, err
	case object == nil || string(object.GetUID()) != unit.UID:
		return query.Snapshot{}, loop.ErrGone
	}
	rivals, err := s.rivals(ctx, object)
	if err != nil {
		return query.Snapshot{}, err
	}
	b := s.build(ctx, key, object)
	snapshot := query.Snapshot{
		Now: now, Unit: unit, Mode: s.cfg.Mode,
		Created:    object.GetCreationTimestamp().UTC(),
		Generation: object.GetGeneration(),
		Rivals:     rivals,
		SpecFault:  b.fault,
		Poll:       s.collector.Poll(idOf(key)),
	}
	if s.cfg.OtherAdapter != nil {
		snapshot.OtherAdapter = s.cfg.OtherAdapter()
	}
	if s.cfg.OtherCustomAdapter != nil {
		snapshot.OtherCustomAdapter = s.cfg.OtherCustomAdapter()
	}
	if b.spec != nil {
		snapshot.Spec = *b.spec
	} else {
		snapshot.Spec = project(object, s.describe(object))
	}
	return snapshot, nil
}

// build makes the object's query anew where the object changed, where its
// Secrets may have, or where the last attempt failed. A failure leaves the
// subscription as it was.
func (s *sources) build(ctx context.Context, key types.NamespacedName, object *object) built {
	s.mu.Lock()
	b, ok := s.built[key]
	if !ok {
		b = &built{generation: -1}
		s.built[key] = b
	}
	before := *b
	s.mu.Unlock()

	now := s.cfg.Clock.Now()
	if before.generation == object.GetGeneration() && now.Sub(before.at) < s.every(key, before) {
		return before
	}
	if before.fault != nil || s.refused(key) {
		s.secrets.drop(s.secretNamespace(object))
	}
	secrets := &noted{Secrets: s.secrets.in(s.secretNamespace(object))}
	after := built{generation: object.GetGeneration(), at: now, spec: before.spec}
	spec, err := s.subscribe(ctx, object, secrets)
	if after.uses = secrets.read; err != nil {
		reason, message := source.ReasonOf(err)
		after.fault = &decision.Fault{Source: s.describe(object), Reason: reason, Message: message}
	} else {
		after.spec = &spec
	}
	s.mu.Lock()
	*b = after
	s.mu.Unlock()
	return after
}

// every is how often an object is built anew without having changed.
func (s *sources) every(key types.NamespacedName, b built) time.Duration {
	switch {
	case b.fault != nil:
		return secretsRetry
	case !b.uses:
		return time.Duration(1<<63 - 1)
	case s.refused(key):
		return secretsRetry
	}
	return secretsRefresh
}

// refused tells whether the last poll failed on the credentials.
func (s *sources) refused(key types.NamespacedName) bool {
	poll := s.collector.Poll(idOf(key))
	return poll.Failing && poll.LastFailure != nil &&
		(poll.LastFailure.Reason == source.ReasonUnauthorized || poll.LastFailure.Reason == source.ReasonTLS)
}

// refreshAfter is when an object wants a turn to be built anew, or false where
// only a change can make a difference.
func (s *sources) refreshAfter(key types.NamespacedName) (time.Duration, bool) {
	s.mu.Lock()
	b, ok := s.built[key]
	if !ok || (!b.uses && b.fault == nil) {
		s.mu.Unlock()
		return 0, false
	}
	before := *b
	s.mu.Unlock()
	return s.every(key, before), true
}

// subscribe has the collector poll what the object asks for.
func (s *sources) subscribe(ctx context.Context, object *object, secrets source.Secrets) (query.Spec, error) {
	spec := project(object, s.describe(object))
	if _, err := object.namespaces(); err != nil {
		return spec, err
	}
	if spec.Namespaces != "" {
		if err := s.namespaces.want(ctx); err != nil {
			return spec, source.Errorf("NamespacesNotKnown", "the labels of namespaces cannot be watched: %v", err)
		}
	}
	builder, _, ok := s.builder(object)
	if !ok {
		return spec, source.Errorf("SourceNotServed", "this version serves no source of the kind that spec.source names")
	}
	timeout := orDefault(object.spec.Timeout.Duration, defaultTimeout)
	q, err := builder.Build(ctx, source.Request{
		Namespace: object.GetNamespace(), Name: object.GetName(), Source: object.spec.Source,
		Kinds: kinds(spec.Metrics), Timeout: timeout, Secrets: secrets,
	})
	if err != nil {
		return spec, err
	}
	err = s.collector.Subscribe(collector.Subscription{
		ID: idOf(object.key()), Query: q, Interval: spec.PollInterval, Timeout: timeout,
	})
	return spec, err
}

// builder finds the builder of the object's kind of source.
func (s *sources) builder(object *object) (source.Builder, string, bool) {
	for _, b := range s.cfg.Builders {
		if text, ok := b.Describe(object.spec.Source); ok {
			return b, text, true
		}
	}
	return nil, "", false
}

func (s *sources) describe(object *object) string {
	if _, text, ok := s.builder(object); ok {
		return text
	}
	return "a source that this version does not serve"
}

// secretNamespace is where an object's Secrets are: its own namespace, and the
// adapter's for objects that have none.
func (s *sources) secretNamespace(object *object) string {
	if namespace := object.GetNamespace(); namespace != "" {
		return namespace
	}
	return s.cfg.OwnNamespace
}

// forget ends what was polled for an object.
func (s *sources) forget(key types.NamespacedName) {
	s.collector.Unsubscribe(idOf(key))
	s.mu.Lock()
	delete(s.built, key)
	s.mu.Unlock()
}

// rivals are the other objects of the namespace, or the other ones of the whole
// cluster, that declare one of the object's metric names, sorted by name. Objects
// of the two kinds are no rivals: in its namespace a MetricSource goes before.
func (s *sources) rivals(ctx context.Context, object *object) ([]query.Rival, error) {
	found := map[string]query.Rival{}
	for _, metric := range object.spec.Metrics {
		others, err := holders(ctx, s.cfg.Objects, object.GetNamespace(), metric.Name)
		if err != nil {
			return nil, fmt.Errorf("find the rivals for metric %s: %w", metric.Name, err)
		}
		for _, other := range others {
			namespaces, err := other.namespaces()
			if other.GetName() == object.GetName() || other.GetDeletionTimestamp() != nil || err != nil {
				continue
			}
			rival, ok := found[other.GetName()]
			if !ok {
				rival = query.Rival{Name: other.GetName(), Created: other.GetCreationTimestamp().UTC(), Namespaces: namespaces}
			}
			rival.Metrics = append(rival.Metrics, metric.Name)
			found[other.GetName()] = rival
		}
	}
	return sortedRivals(found), nil
}

func idOf(key types.NamespacedName) string { return key.String() }

func keyOf(id string) types.NamespacedName {
	namespace, name, _ := strings.Cut(id, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func keyOfUnit(u decision.Unit) types.NamespacedName {
	return types.NamespacedName{Namespace: u.Namespace, Name: u.Name}
}
