// Package shared holds what is costly to hold, such as a connection, once for all
// pollers that can use the same. It makes and ends nothing by itself and knows no
// protocol.
package shared

import "sync"

// Pool shares things among their users. It is safe for use by several goroutines.
type Pool[T any] struct {
	mu   sync.Mutex
	held map[string]*holding[T]
}

type holding[T any] struct {
	value T
	users int
}

// NewPool makes a Pool that holds nothing.
func NewPool[T any]() *Pool[T] { return &Pool[T]{held: map[string]*holding[T]{}} }

// Acquire gives what is held under a key, made where nobody holds it yet. The
// last of those who give it back ends it. Giving back twice is giving back once.
func (p *Pool[T]) Acquire(key string, create func() T, end func(T)) (value T, release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.held[key]
	if !ok {
		h = &holding[T]{value: create()}
		p.held[key] = h
	}
	h.users++
	return h.value, sync.OnceFunc(func() {
		p.mu.Lock()
		h.users--
		last := h.users == 0
		if last {
			delete(p.held, key)
		}
		p.mu.Unlock()
		if last {
			end(h.value)
		}
	})
}
