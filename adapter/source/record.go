package source

import (
	"context"
	"sync"
)

// Reply is what a system answered, as it came.
type Reply struct {
	// From names what was asked.
	From string
	Body []byte
}

// Recorder keeps the replies of polls, for people who try out a source. The
// adapter records none.
type Recorder struct {
	mu      sync.Mutex
	replies []Reply
}

type recorderKey struct{}

// WithRecorder gives a context in which polls record their replies.
func WithRecorder(ctx context.Context, r *Recorder) context.Context {
	return context.WithValue(ctx, recorderKey{}, r)
}

// Record keeps a reply where the context has a Recorder, and asks for it only
// then. What it is given holds no credential. Sources whose systems answer in no
// text of their own record nothing.
func Record(ctx context.Context, from string, body func() []byte) {
	r, ok := ctx.Value(recorderKey{}).(*Recorder)
	if !ok {
		return
	}
	reply := Reply{From: from, Body: body()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies = append(r.replies, reply)
}

// Take gives the replies since the last call.
func (r *Recorder) Take() []Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.replies
	r.replies = nil
	return out
}
