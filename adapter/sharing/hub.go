package sharing

import (
	"container/list"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
)

// Path is where each replica tells the others what its polls gave.
const Path = "/polls"

// heartbeat is how often a replica that has nothing to tell says that it is there.
const heartbeat = time.Second

// message is one line of the stream; without a key it is a heartbeat, which tells
// the time by the clock that the readings' times are of.
type message struct {
	Now    time.Time         `json:"now,omitzero"`
	Key    string            `json:"key,omitempty"`
	Shared *collector.Shared `json:"shared,omitempty"`
}

// Hub tells other replicas what the polls of this one gave. It is an http.Handler
// that answers with a stream of lines of JSON, behind the server's authentication
// and authorization. One that reads slowly is told the newest of each query.
type Hub struct {
	clock clock.WithTicker

	mu     sync.Mutex
	polls  map[string]collector.Shared
	reads  map[*reader]bool
	closed chan struct{}
	once   sync.Once
}

// NewHub makes a Hub that has nothing to tell.
func NewHub(c clock.WithTicker) *Hub {
	return &Hub{clock: c, polls: map[string]collector.Shared{}, reads: map[*reader]bool{}, closed: make(chan struct{})}
}

// reader is one who is told. The hub's mutex guards all but wake.
type reader struct {
	due    *list.List
	places map[string]bool
	wake   chan struct{}
}

func (r *reader) add(key string) {
	if r.places[key] {
		return
	}
	r.places[key] = true
	r.due.PushBack(key)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Polled tells what a poll of this replica gave.
func (h *Hub) Polled(key string, s collector.Shared) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.polls[key] = s
	for r := range h.reads {
		r.add(key)
	}
}

// Ended forgets a query that nobody wants any more.
func (h *Hub) Ended(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.polls, key)
}

// Close ends all streams.
func (h *Hub) Close() { h.once.Do(func() { close(h.closed) }) }

// ServeHTTP streams until the client goes or the hub is closed.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	reading := h.begin()
	defer h.end(reading)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	// The error is the client's going, which the context tells too.
	_ = h.stream(r.Context(), w, reading)
}

func (h *Hub) begin() *reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &reader{due: list.New(), places: map[string]bool{}, wake: make(chan struct{}, 1)}
	for key := range h.polls {
		r.add(key)
	}
	h.reads[r] = true
	return r
}

func (h *Hub) end(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.reads, r)
}

func (h *Hub) stream(ctx context.Context, w http.ResponseWriter, r *reader) error {
	flusher := http.NewResponseController(w)
	ticker := h.clock.NewTicker(heartbeat)
	defer ticker.Stop()
	if err := write(w, message{Now: h.clock.Now().UTC()}); err != nil {
		return err
	}
	for {
		for m, some := h.next(r); some; m, some = h.next(r) {
			if err := write(w, m); err != nil {
				return err
			}
		}
		if err := flusher.Flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.closed:
			return nil
		case <-r.wake:
		case <-ticker.C():
			if err := write(w, message{Now: h.clock.Now().UTC()}); err != nil {
				return err
			}
		}
	}
}

// write sends a line. What cannot be encoded is not told, and so polled by the
// others themselves: it must not end a stream that it would end again and again.
func write(w io.Writer, m message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// next takes what the reader is to be told next, or gives false.
func (h *Hub) next(r *reader) (message, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r.due.Len() > 0 {
		key := r.due.Remove(r.due.Front()).(string)
		delete(r.places, key)
		if s, ok := h.polls[key]; ok {
			return message{Key: key, Shared: &s}, true
		}
	}
	return message{}, false
}
