package histogram

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A change of the half-life keeps what each bucket weighs against a sample of now,
// whatever the two are, and back again.
func TestRetimeKeepsWhatSamplesWeigh(t *testing.T) {
	lives := []time.Duration{0, time.Minute, time.Hour, 24 * time.Hour, 8760 * time.Hour}
	random := rand.New(rand.NewPCG(1, 2))
	for _, from := range lives {
		for _, to := range lives {
			before, after := NewScheme(Exponential(1000, 0.01, 1.05), 1e-4, from), NewScheme(Exponential(1000, 0.01, 1.05), 1e-4, to)
			var h Histogram
			now := start
			for range 200 {
				before.Add(&h, math.Exp(random.NormFloat64()), 0.1, now)
				now = now.Add(max(from, time.Minute) / 50)
			}
			// What each bucket is of a sample of now.
			shares := func(s *Scheme, h Histogram) map[int]float64 {
				of := s.factor(&h, now)
				out := map[int]float64{-1: h.Total / of}
				for i, w := range h.Weights {
					out[h.First+i] = w / of
				}
				return out
			}
			want := shares(before, h)
			moved := h.Clone()
			after.Retime(&moved, from, now)
			near(t, from, to, want, shares(after, moved))
			if to > 0 && moved.Reference.Sub(moved.Reference.Round(to)) != 0 && from != to {
				t.Errorf("%s to %s: the reference %s is no multiple", from, to, moved.Reference)
			}
			before.Retime(&moved, to, now)
			near(t, to, from, want, shares(before, moved))
		}
	}
}

func near(t *testing.T, from, to time.Duration, want, got map[int]float64) {
	t.Helper()
	for bucket, w := range want {
		if math.Abs(got[bucket]-w) > 1e-9*math.Abs(w) {
			t.Errorf("%s to %s: bucket %d weighs %g of a sample, want %g", from, to, bucket, got[bucket], w)
		}
	}
}

// Without it a history could be lost: a sample of now would outweigh it by 2 to
// the power of all half-lives since the reference.
func TestRetimeLosesNoHistory(t *testing.T) {
	slow, quick := NewScheme(Exponential(1000, 0.01, 1.05), 1e-4, 24*time.Hour), NewScheme(Exponential(1000, 0.01, 1.05), 1e-4, time.Hour)
	var h Histogram
	now := start
	for range 60 * 24 {
		slow.Add(&h, 2, 0.1, now)
		now = now.Add(time.Hour)
	}
	h.Reference = h.Reference.Add(0)
	lost, kept := h.Clone(), h.Clone()
	quick.Retime(&kept, 24*time.Hour, now)
	for _, of := range []*Histogram{&lost, &kept} {
		quick.Add(of, 0.1, 0.1, now)
	}
	if quick.Percentile(lost, 0.9) > 1 {
		t.Fatal("the test proves nothing: the history stays without Retime")
	}
	if got := quick.Percentile(kept, 0.9); got < 2 {
		t.Errorf("the p90 is %g after one sample with another half-life, want the history's 2", got)
	}
}

func TestRetimeOfNothing(t *testing.T) {
	s := NewScheme(Linear(10, 1), 1e-4, time.Hour)
	var h Histogram
	s.Retime(&h, time.Minute, start)
	s.Add(&h, 3, 1, start)
	if got := s.Percentile(h, 0.5); got != 4 {
		t.Errorf("the p50 is %g, want 4", got)
	}
}
