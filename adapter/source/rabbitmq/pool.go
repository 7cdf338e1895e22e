package rabbitmq

import "sync"

// pool shares what is costly to hold among pollers that can use the same.
type pool[T any] struct {
	mu   sync.Mutex
	held map[string]*holding[T]
}

type holding[T any] struct {
	value T
	users int
}

func newPool[T any]() *pool[T] { return &pool[T]{held: map[string]*holding[T]{}} }

// acquire gives what is held under a key, made where nobody holds it yet. The
// last of those who give it back ends it. Giving back twice is giving back once.
func (p *pool[T]) acquire(key string, create func() T, end func(T)) (value T, release func()) {
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
