package controller

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/recommender/history"
)

// pastReader reads what pods used and how they were labelled.
type pastReader interface {
	Usage(ctx context.Context, namespace string, now time.Time) (history.Pods, error)
	Labels(ctx context.Context, now time.Time) (map[string]map[string]map[string]string, error)
}

const (
	// pastReaders is how many namespaces are read at the same time.
	pastReaders = 2
	// pastKept is how long a namespace's past is kept once it is read: objects that
	// come later have it read anew.
	pastKept = 5 * time.Minute
	// pastRetry is the time from one failure to the next try.
	pastRetry = time.Minute
)

// past gives objects their history from before this process, namespace by
// namespace and not in the way of those that have theirs.
type past struct {
	reader  pastReader
	pods    *podCache
	targets *targets
	config  estimator.Config
	// life ends with the process; wake has an object decided on again.
	life context.Context
	wake func(types.NamespacedName)
	busy chan struct{}

	mu         sync.Mutex
	namespaces map[string]*chapter
}

// chapter is the past of a namespace.
type chapter struct {
	// reading tells that it is being read; done, that it is here.
	reading, done bool
	// failed is when reading failed last, and why.
	failed time.Time
	err    error
	pods   history.Pods
	labels map[string]map[string]string
	// waiting are the objects to tell.
	waiting map[types.NamespacedName]bool
}

// fetching is the error while the past of an object is not here yet.
type fetching struct{ text string }

// Error is what the condition says.
func (f *fetching) Error() string { return f.text }

func newPast(life context.Context, reader pastReader, config estimator.Config) *past {
	return &past{
		reader: reader, config: config, life: life, busy: make(chan struct{}, pastReaders), namespaces: map[string]*chapter{},
	}
}

// state gives what would have been learned of the pods that the selector matches,
// or *fetching while that is not known.
func (p *past) state(key types.NamespacedName, selector labels.Selector, policies []estimator.Policy) (estimator.State, error) {
	p.mu.Lock()
	c := p.namespaces[key.Namespace]
	if c == nil {
		c = &chapter{waiting: map[types.NamespacedName]bool{}}
		p.namespaces[key.Namespace] = c
	}
	if c.done {
		p.mu.Unlock()
		return p.recall(key.Namespace, c, selector, policies), nil
	}
	c.waiting[key] = true
	if !c.reading && time.Since(c.failed) >= pastRetry {
		c.reading = true
		go p.read(key.Namespace, c)
	}
	err := &fetching{text: "the history is being read from Prometheus"}
	if c.err != nil {
		err.text = "the history could not be read from Prometheus and is tried again: " + c.err.Error()
	}
	p.mu.Unlock()
	return estimator.State{}, err
}

func (p *past) read(namespace string, c *chapter) {
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	case <-p.life.Done():
		return
	}
	now := time.Now()
	pods, err := p.reader.Usage(p.life, namespace, now)
	var labelled map[string]map[string]map[string]string
	if err == nil {
		labelled, err = p.reader.Labels(p.life, now)
	}
	if err != nil && p.life.Err() == nil {
		telemetry.Logger(p.life).LogAttrs(p.life, slog.LevelError, "Could not read the history from Prometheus",
			slog.String("namespace", namespace), slog.Any("error", err))
	}
	p.mu.Lock()
	c.reading = false
	if c.err = err; err != nil {
		c.failed = time.Now()
	} else {
		c.done, c.pods, c.labels = true, pods, labelled[namespace]
		time.AfterFunc(pastKept, func() { p.drop(namespace, c) })
	}
	waiting := c.waiting
	c.waiting = map[types.NamespacedName]bool{}
	p.mu.Unlock()
	for key := range waiting {
		p.wake(key)
	}
}

func (p *past) drop(namespace string, c *chapter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.namespaces[namespace] == c {
		delete(p.namespaces, namespace)
	}
}

// recall folds the past of the pods that match. A chapter that is done does not
// change any more.
func (p *past) recall(namespace string, c *chapter, selector labels.Selector, policies []estimator.Policy) estimator.State {
	plain := sanitized(selector)
	pods := map[string]map[string][]estimator.Usage{}
	for name, containers := range c.pods {
		set, known := c.labels[name]
		matches := known && (selector.Matches(labels.Set(set)) || plain.Matches(labels.Set(set)))
		if live := p.pods.get(namespace, name); !known && live != nil {
			matches = selector.Matches(split(live.labels.Value()))
		}
		if matches {
			pods[name] = containers
		}
	}
	return estimator.Recall(pods, p.config.Learning(policies))
}

// sanitized is the selector for labels as Prometheus names them: with _ for what
// is no letter and no digit.
func sanitized(selector labels.Selector) labels.Selector {
	requirements, selectable := selector.Requirements()
	if !selectable {
		return labels.Nothing()
	}
	out := labels.NewSelector()
	for _, r := range requirements {
		key := strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
				return c
			}
			return '_'
		}, r.Key())
		// A label's name of Kubernetes begins and ends with a letter or a digit, and so
		// does this.
		plain, err := labels.NewRequirement(key, r.Operator(), r.ValuesUnsorted())
		if err != nil {
			return labels.Nothing()
		}
		out = out.Add(*plain)
	}
	return out
}

// pastOf is the past that the flags ask for, nil where history is kept in
// checkpoints. It lacks the caches.
func pastOf(life context.Context, o *Options, m *objectMetrics) (*past, error) {
	if o.Storage != storagePrometheus {
		return nil, nil
	}
	config := o.Prometheus.resolved()
	config.Through = m.transport
	reader, err := history.New(config)
	if err != nil {
		return nil, fmt.Errorf("read the history from Prometheus: %w", err)
	}
	return newPast(life, reader, o.rules()), nil
}

// recall puts what would have been learned before this process in place of an
// object's history.
func (p *passes) recall(ctx context.Context, unit decision.Unit) error {
	key := keyOf(unit)
	vpa := p.vpas.get(key.Namespace, key.Name)
	if vpa == nil {
		return nil
	}
	projected := projectVPA(vpa)
	selector, err := p.past.targets.selector(ctx, key.Namespace, projected.Target)
	if err != nil {
		return &fetching{text: "the history is read once the target's pods are known"}
	}
	state, err := p.past.state(key, selector, projected.Policies)
	if err != nil {
		return err
	}
	p.loop.Restore(unit, state)
	return nil
}
