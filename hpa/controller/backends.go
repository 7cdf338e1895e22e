package controller

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// queryLimit ends the wait for an answer of a metrics API, where the sync period
	// is not too short for it.
	queryLimit = 10 * time.Second
	// backendQueries is how many queries of one backend may run at the same time.
	backendQueries = 20
	// breakAfter is after how many queries in a row without an answer in time the
	// breaker opens.
	breakAfter = 3
	// idlePeriods is after how many sync periods without a query a backend is
	// forgotten.
	idlePeriods = 10
)

// backend is where a query goes: one of the metrics APIs, and behind the custom and
// the external API the metric, since an adapter may be slow for one only.
type backend struct{ api, metric string }

// backends keep slow metrics apart. Queries of a backend share its seats, so that what
// is slow takes none from others. Queries of a metric that got no answer several
// times share a breaker with those of their namespace only: the same name may mean
// another source elsewhere.
type backends struct {
	deadline, period time.Duration
	metrics          *queryMetrics

	mu       sync.Mutex
	seats    map[backend]*seats
	breakers map[breakerKey]*breaker
	swept    time.Time
}

type breakerKey struct {
	backend
	namespace string
}

type seats struct {
	taken chan struct{}
	used  time.Time
}

func newBackends(period time.Duration, m *queryMetrics) *backends {
	return &backends{
		deadline: min(queryLimit, period*2/3), period: period, metrics: m,
		seats: map[backend]*seats{}, breakers: map[breakerKey]*breaker{}, swept: time.Now(),
	}
}

// of gives a query's seats and breaker.
func (b *backends) of(at backend, namespace string) (chan struct{}, *breaker) {
	key := breakerKey{backend: at, namespace: namespace}
	if at.metric == "" {
		key.namespace = ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.sweep(now)
	s, br := b.seats[at], b.breakers[key]
	if s == nil {
		s = &seats{taken: make(chan struct{}, backendQueries)}
		b.seats[at] = s
	}
	if br == nil {
		br = &breaker{opened: make(chan struct{})}
		b.breakers[key] = br
	}
	s.used, br.used = now, now
	return s.taken, br
}

// sweep forgets, once a period, what nobody asks any more.
func (b *backends) sweep(now time.Time) {
	if now.Sub(b.swept) < b.period {
		return
	}
	b.swept = now
	for at, s := range b.seats {
		if now.Sub(s.used) > idlePeriods*b.period {
			delete(b.seats, at)
		}
	}
	for key, br := range b.breakers {
		if now.Sub(br.used) > idlePeriods*b.period {
			delete(b.breakers, key)
			if br.isOpen() {
				b.metrics.silent.WithLabelValues(key.api).Dec()
			}
		}
	}
}

// breaker remembers how the queries of one metric in one namespace went.
type breaker struct {
	used time.Time // guarded by the backends' lock

	mu     sync.Mutex
	misses int
	// opened is closed while no query but a probe is let through. probed is when
	// the last was.
	opened chan struct{}
	probed time.Time
}

func (b *breaker) isOpen() bool {
	select {
	case <-b.waiting():
		return true
	default:
		return false
	}
}

// waiting is closed once the breaker is open.
func (b *breaker) waiting() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened
}

// enter tells whether a query may go out, and whether it is a probe.
func (b *breaker) enter(period time.Duration) (probe, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.misses < breakAfter {
		return false, true
	}
	if time.Since(b.probed) < period {
		return false, false
	}
	b.probed = time.Now()
	return true, true
}

// answered closes the breaker, and tells whether it was open.
func (b *breaker) answered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.misses >= breakAfter
	b.misses = 0
	if was {
		b.opened = make(chan struct{})
	}
	return was
}

// missed counts a query without an answer, and tells whether that opened the
// breaker.
func (b *breaker) missed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.misses++
	if b.misses == breakAfter {
		b.probed = time.Now()
		close(b.opened)
	}
	return b.misses == breakAfter
}

// silence is what is wrong with a query that got no answer. The text stays the same
// for as long as nothing is answered, since the status shows it.
func (b *backends) silence(br *breaker) error {
	if br.isOpen() {
		return fmt.Errorf("no answer within %s, %d times in a row: only one query every %s is tried until one is answered",
			b.deadline, breakAfter, b.period)
	}
	return fmt.Errorf("no answer within %s", b.deadline)
}

// answer is what a query gave.
type answer[V any] struct {
	value V
	err   error
}

// query asks one question of a backend, for an object of the namespace. It returns at
// the deadline at the latest after the question went out. One that does not end then
// keeps its seat until it does.
func query[V any](b *backends, at backend, namespace string, ask func(context.Context) (V, error)) (V, error) {
	var none V
	taken, br := b.of(at, namespace)
	probe, ok := br.enter(b.period)
	if ok && !probe {
		select {
		case taken <- struct{}{}:
		case <-br.waiting():
			ok = false
		}
	}
	if !ok {
		b.metrics.count(at, resultSpared)
		return none, b.silence(br)
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.deadline)
	defer cancel()
	answers := make(chan answer[V], 1)
	go func() {
		if !probe {
			defer func() { <-taken }()
		}
		answers <- guarded(ctx, ask)
	}()
	select {
	case a := <-answers:
		if ctx.Err() == nil {
			if br.answered() {
				b.metrics.silent.WithLabelValues(at.api).Dec()
			}
			b.metrics.count(at, result(a.err))
			return a.value, a.err
		}
	case <-ctx.Done():
	}
	if br.missed() {
		b.metrics.silent.WithLabelValues(at.api).Inc()
	}
	b.metrics.count(at, resultSilent)
	return none, b.silence(br)
}

// guarded has a client that panics fail one query and not the process.
func guarded[V any](ctx context.Context, ask func(context.Context) (V, error)) (a answer[V]) {
	defer func() {
		if p := recover(); p != nil {
			a = answer[V]{err: fmt.Errorf("the client panicked: %v", p)}
		}
	}()
	a.value, a.err = ask(ctx)
	return a
}
