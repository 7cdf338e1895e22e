package vertical

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// answerKept is how long the API server's answer about a controller stands in
	// for the cache, which learns of it meanwhile.
	answerKept = 10 * time.Second
	// answerWait is how long an answer is waited for.
	answerWait = 2 * time.Second
	// answersKept is how many answers are kept at most.
	answersKept = 1000
)

// answers are what the API server said about controllers that the caches did not
// know yet. Many pods of a ReplicaSet that was just made ask once.
type answers struct {
	mu    sync.Mutex
	known map[types.UID]*answer
}

// answer is one controller. done is closed once it is known.
type answer struct {
	done   chan struct{}
	object metav1.Object
	err    error
	until  time.Time
}

// get gives the controller with the UID, by asking where nobody asked lately. A
// question that failed is asked again.
func (a *answers) get(ctx context.Context, uid types.UID, ask func(context.Context) (metav1.Object, error)) (metav1.Object, error) {
	now := time.Now()
	a.mu.Lock()
	found, ok := a.known[uid]
	if !ok || now.After(found.until) {
		if a.known == nil || len(a.known) >= answersKept {
			a.known = map[types.UID]*answer{}
		}
		found = &answer{done: make(chan struct{}), until: now.Add(answerKept)}
		a.known[uid] = found
		go found.ask(context.WithoutCancel(ctx), ask, func() { a.forget(uid, found) })
	}
	a.mu.Unlock()
	select {
	case <-found.done:
		return found.object, found.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask asks for the controller, and calls failed where no answer came.
func (f *answer) ask(ctx context.Context, ask func(context.Context) (metav1.Object, error), failed func()) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	f.object, f.err = ask(ctx)
	if f.err != nil {
		failed()
	}
	close(f.done)
}

// forget drops an answer where it is still the one that is kept.
func (a *answers) forget(uid types.UID, f *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[uid] == f {
		delete(a.known, uid)
	}
}
