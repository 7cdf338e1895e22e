package redis_test

import (
	"math/rand/v2"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// testAnyInterleaving does what senders, workers and owners do in any order, and
// holds each reading against what a full read of the stream counts.
func testAnyInterleaving(t *testing.T, s *running) {
	const key = "model"
	s.makeStream(t, key, 0)
	p := open(t, stream(s.Address(), key), nil)
	random := rand.New(rand.NewPCG(4, 2)) //nolint:gosec // a test that repeats itself
	var pending, present []any
	for step := range 250 {
		switch random.IntN(6) {
		case 0, 1:
			present = append(present, s.add(t, key, 1+random.IntN(3))...)
		case 2:
			pending = append(pending, s.read(t, key, 1+random.IntN(3))...)
		case 3: // acknowledge the oldest
			if len(pending) > 0 {
				s.do(t, "XACK", key, "workers", pending[0])
				pending = pending[1:]
			}
		case 4: // delete any, read or not
			if len(present) > 0 {
				i := random.IntN(len(present))
				s.do(t, "XDEL", key, present[i])
				present = append(present[:i:i], present[i+1:]...)
			}
		case 5: // one that was done with
			if len(pending) > 0 && len(present) > 0 && present[0] == pending[0] {
				s.do(t, "XACK", key, "workers", pending[0])
				s.do(t, "XDEL", key, pending[0])
				pending, present = pending[1:], present[1:]
			}
		}
		got := mustPoll(t, p)
		if want := s.waiting(t, key); got.Gauges[query.Pending] != query.NumberOf(want) {
			t.Fatalf("step %d: Pending is %+v, and a full read counts %v", step, got.Gauges[query.Pending], want)
		}
		if want := query.NumberOf(float64(len(pending))); got.Gauges[query.AckPending] != want {
			t.Fatalf("step %d: AckPending is %+v, want %+v", step, got.Gauges[query.AckPending], want)
		}
	}
}

// read reads up to n entries as a worker.
func (r *running) read(t testing.TB, key string, n int) (ids []any) {
	t.Helper()
	got, err := r.admin.Do(t.Context(), "XREADGROUP", "GROUP", "workers", "one", "COUNT", n, "STREAMS", key, ">").Slice()
	if err != nil {
		return nil // there is nothing to read
	}
	entries, _ := got[0].([]any)[1].([]any)
	for _, entry := range entries {
		ids = append(ids, entry.([]any)[0])
	}
	return ids
}

// waiting counts the entries after the last one that was delivered.
func (r *running) waiting(t testing.TB, key string) float64 {
	t.Helper()
	groups, err := r.admin.XInfoGroups(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := r.admin.XRange(t.Context(), key, "("+groups[0].LastDeliveredID, "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	return float64(len(entries))
}
