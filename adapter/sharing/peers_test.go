package sharing

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// network carries requests to the hubs of replicas without a network.
type network struct {
	mu   sync.Mutex
	hubs map[string]*Hub
	// cut addresses are not reached; hung ones say nothing more.
	cut, hung map[string]bool
	refuse    int // a status, where the replica refuses
	asked     int
}

func newNetwork() *network {
	return &network{hubs: map[string]*Hub{}, cut: map[string]bool{}, hung: map[string]bool{}}
}

func (n *network) is(of map[string]bool, address string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return of[address]
}

func (n *network) set(of map[string]bool, address string, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of[address] = is
}

// wire is a response writer whose other end is a body.
type wire struct {
	*io.PipeWriter
	n       *network
	address string
	header  http.Header
}

func (w *wire) Header() http.Header { return w.header }
func (w *wire) WriteHeader(int)     {}
func (w *wire) Flush()              {}
func (w *wire) Write(b []byte) (int, error) {
	switch {
	case w.n.is(w.n.cut, w.address):
		return 0, errors.New("cut")
	case w.n.is(w.n.hung, w.address):
		return len(b), nil
	}
	return w.PipeWriter.Write(b)
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked++
	hub, refuse := n.hubs[r.URL.Host], n.refuse
	n.mu.Unlock()
	if hub == nil || n.is(n.cut, r.URL.Host) {
		return nil, errors.New("no route")
	}
	if refuse != 0 {
		return &http.Response{StatusCode: refuse, Status: http.StatusText(refuse), Body: http.NoBody, Request: r}, nil
	}
	read, write := io.Pipe()
	context.AfterFunc(r.Context(), func() { _ = read.CloseWithError(r.Context().Err()) })
	go func() {
		hub.ServeHTTP(&wire{write, n, r.URL.Host, http.Header{}}, r)
		_ = write.Close()
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: read, Request: r}, nil
}

// member is one replica of a test.
type member struct {
	*Hub
	*Peers
	mu        sync.Mutex
	delivered map[string]float64
	changed   int
	stop      context.CancelFunc
}

func (m *member) deliver(key string, s collector.Shared) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delivered[key] = s.Poll.Reading.Gauges[query.Depth].Value
}

func (m *member) has(key string) float64 {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.delivered[key]
}

// skewed is a clock that is ahead.
type skewed struct {
	clock.RealClock
	by time.Duration
}

func (s skewed) Now() time.Time { return s.RealClock.Now().Add(s.by) }

func (n *network) join(t *testing.T, self string) *member {
	t.Helper()
	return n.joinAhead(t, self, 0)
}

// joinAhead adds a replica whose clock is ahead.
func (n *network) joinAhead(t *testing.T, self string, by time.Duration) *member {
	t.Helper()
	m := &member{Hub: NewHub(skewed{by: by}), delivered: map[string]float64{}}
	var err error
	m.Peers, err = NewPeers(Config{
		Self: self, Client: &http.Client{Transport: n}, Clock: skewed{by: by}, Log: slog.New(slog.DiscardHandler),
		Discover: func(context.Context) ([]string, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			var all []string
			for address := range n.hubs {
				all = append(all, address)
			}
			slices.Sort(all)
			return all, nil
		},
		Deliver: m.deliver,
		Changed: func() { m.mu.Lock(); m.changed++; m.mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.hubs[self] = m.Hub
	n.mu.Unlock()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	m.stop = func() { m.Close(); stop(); running.Wait() }
	t.Cleanup(m.stop)
	return m
}

func depth(v float64) collector.Shared {
	at := time.Now()
	return collector.Shared{At: at, Poll: query.Poll{Reading: &query.Reading{
		At: at, Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(v)},
	}}}
}

func members(t *testing.T, m *member, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, m.Members()); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

func TestReplicasHearOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.join(t, "a:1")
		members(t, a, "a:1")
		if !a.Mine("any") {
			t.Error("a replica that is alone leaves a query to nobody")
		}
		a.Polled("old", depth(5)) // before anybody hears
		b := n.join(t, "b:1")
		time.Sleep(3 * time.Second)
		members(t, a, "a:1", "b:1")
		members(t, b, "a:1", "b:1")
		if a.Mine("any") == b.Mine("any") {
			t.Error("a query is both replicas' or neither's")
		}
		bad := depth(1)
		bad.Poll.Reading.Gauges[query.Depth] = query.Gauge{Presence: query.Number, Value: math.NaN()} // no JSON
		a.Polled("bad", bad)
		a.Polled("q", depth(7))
		if b.has("q") != 7 || b.has("old") != 5 {
			t.Errorf("b was told %v", b.delivered)
		}
		a.Ended("q")
		if a.changed != 1 || b.changed != 1 {
			t.Errorf("told %d and %d times that owners changed, want once each", a.changed, b.changed)
		}
		// A replica that ends closes its streams: the other knows at once.
		b.stop()
		members(t, a, "a:1")
		if !a.Mine("any") {
			t.Error("the last replica does not poll everything")
		}
	})
}

func TestAReplicaThatSaysNothingIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.join(t, "a:1"), n.join(t, "b:1")
		time.Sleep(3 * time.Second)
		members(t, a, "a:1", "b:1")
		n.set(n.hung, "b:1", true)
		time.Sleep(silence + heartbeat)
		members(t, a, "a:1")
		members(t, b, "a:1", "b:1") // b still hears a
		n.set(n.hung, "b:1", false)
		time.Sleep(pauseMax + silence)
		members(t, a, "a:1", "b:1")
		b.Polled("q", depth(3))
		if a.has("q") != 3 {
			t.Error("nothing is told after the replica came back")
		}
	})
}

func TestOneThatIsNotReachedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.join(t, "a:1")
		n.set(n.cut, "b:1", true)
		b := n.join(t, "b:1")
		time.Sleep(time.Minute)
		members(t, a, "a:1")
		if n.asked > 40 {
			t.Errorf("asked %d times in a minute", n.asked)
		}
		n.set(n.cut, "b:1", false)
		n.mu.Lock()
		n.refuse = http.StatusForbidden
		n.mu.Unlock()
		time.Sleep(time.Minute)
		members(t, a, "a:1")
		n.mu.Lock()
		n.refuse = 0
		n.mu.Unlock()
		time.Sleep(pauseMax + time.Second)
		members(t, a, "a:1", "b:1")
		_ = b
		// One that is no longer looked up is no longer heard.
		n.mu.Lock()
		delete(n.hubs, "b:1")
		n.mu.Unlock()
		time.Sleep(discoverEvery + time.Second)
		members(t, a, "a:1")
	})
}

func TestASlowReaderIsToldTheNewest(t *testing.T) {
	h := NewHub(clock.RealClock{})
	r := h.begin()
	for i := range 1000 {
		h.Polled("q", depth(float64(i)))
		h.Polled("other", depth(1))
	}
	h.Ended("other")
	if m, ok := h.next(r); !ok || m.Key != "q" || m.Shared.Poll.Reading.Gauges[query.Depth].Value != 999 {
		t.Errorf("told %+v", m)
	}
	if m, ok := h.next(r); ok {
		t.Errorf("told %+v besides", m)
	}
}

// A reading's time is by the clock of who polled: nobody can judge its age by a clock
// that is far from that one.
func TestAReplicaWhoseClockIsFarOffIsNotHeard(t *testing.T) {
	for name, test := range map[string]struct {
		ahead time.Duration
		heard bool
	}{
		"a little ahead":  {2 * time.Second, true},
		"a little behind": {-2 * time.Second, true},
		"far ahead":       {20 * time.Second, false},
		"far behind":      {-20 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a, b := n.join(t, "a:1"), n.joinAhead(t, "b:1", test.ahead)
				b.Polled("key", depth(7))
				time.Sleep(time.Minute)
				want := []string{"a:1"}
				if test.heard {
					want = append(want, "b:1")
				}
				members(t, a, want...)
				if got := a.has("key") == 7; got != test.heard {
					t.Errorf("its poll was taken: %v, want %v", got, test.heard)
				}
				if test.heard {
					return
				}
				if !b.Mine("key") || !a.Mine("key") {
					t.Error("who hears nobody does not poll everything")
				}
			})
		})
	}
}
