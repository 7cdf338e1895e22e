package controller

import (
	"sync"
	"time"
)

// flights asks each question once for all who ask it at about the same time: while
// it is being asked, and for some time after the answer.
type flights[K comparable, V any] struct {
	// age is for how long an answer is handed out.
	age time.Duration
	// landed hears of each answer that is not handed out any more; nil for nobody.
	landed func(K, V)

	mu sync.Mutex
	by map[K]*flight[V]
}

// flight is one question. What it holds may be read once done is closed.
type flight[V any] struct {
	done  chan struct{}
	value V
	took  time.Duration
}

func newFlights[K comparable, V any](age time.Duration) *flights[K, V] {
	return &flights[K, V]{age: age, by: map[K]*flight[V]{}}
}

// ask joins the question of the key or begins to ask it.
func (f *flights[K, V]) ask(key K, question func() V) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if have := f.by[key]; have != nil {
		return have
	}
	asked := &flight[V]{done: make(chan struct{})}
	f.by[key] = asked
	go func() {
		start := time.Now()
		asked.value = question()
		asked.took = time.Since(start)
		close(asked.done)
		time.AfterFunc(f.age, func() { f.drop(key, asked) })
	}()
	return asked
}

// drop has the question asked anew by the next who has it.
func (f *flights[K, V]) drop(key K, asked *flight[V]) {
	f.mu.Lock()
	if f.by[key] == asked {
		delete(f.by, key)
	}
	f.mu.Unlock()
	if f.landed != nil {
		f.landed(key, asked.value)
	}
}

// forget has the questions whose keys match asked anew, those that are being asked
// among them: an answer may be of the time before whatever happened.
func (f *flights[K, V]) forget(matches func(K) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.by {
		if matches(key) {
			delete(f.by, key)
		}
	}
}
