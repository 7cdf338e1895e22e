package histogram

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	oracle "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/util"
)

const day = 24 * time.Hour

var start = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func TestPercentileOfWholeWeights(t *testing.T) {
	s := NewScheme(Linear(10, 1), 1e-15, 0)
	var h Histogram
	for value := 1; value <= 4; value++ {
		s.Add(&h, float64(value), float64(value), start)
	}
	got := map[float64]float64{}
	want := map[float64]float64{0: 2, 0.1: 2, 0.3: 3, 0.6: 4, 0.9: 5, 1: 5}
	for p := range want {
		got[p] = s.Percentile(h, p)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("percentiles of {1:1, 2:2, 3:3, 4:4} (-want +got):\n%s", diff)
	}
}

func TestBucketsOfTheTwoResources(t *testing.T) {
	for name, b := range map[string]Buckets{"cpu": Exponential(1000, 0.01, 1.05), "memory": Exponential(1e12, 1e7, 1.05)} {
		if b.count != 176 {
			t.Errorf("%s has %d buckets, want 176", name, b.count)
		}
		for bucket := range b.count - 1 {
			middle := (b.start(bucket) + b.start(bucket+1)) / 2
			if got := b.find(middle); got != bucket {
				t.Errorf("%s: %v is in bucket %d, want %d", name, middle, got, bucket)
			}
		}
		if got := b.find(1e300); got != b.count-1 {
			t.Errorf("%s: the greatest value is in bucket %d, want the last", name, got)
		}
	}
}

func TestDecayHalvesWithEachHalfLife(t *testing.T) {
	s := NewScheme(Linear(10, 1), 1e-6, day)
	var h Histogram
	s.Add(&h, 1.5, 1, start)
	s.Add(&h, 8.5, 1, start.Add(3*day))
	if old, young := h.weight(1), h.weight(8); young/old < 7.999 || young/old > 8.001 {
		t.Errorf("after three half-lives a sample weighs 1/%v of a new one, want 1/8", young/old)
	}
	// The old sample is a ninth of all weight.
	if low, high := s.Percentile(h, 0.11), s.Percentile(h, 0.12); low != 2 || high != 9 {
		t.Errorf("percentiles around the old sample's part are %v and %v, want 2 and 9", low, high)
	}
}

func TestDecayLosesOldSamplesAndKeepsWeightsFinite(t *testing.T) {
	s := NewScheme(Linear(10, 1), 1e-4, day)
	var h Histogram
	for i := range 2000 {
		s.Add(&h, 1.5, 0.1, start.Add(time.Duration(i)*day))
	}
	s.Add(&h, 8.5, 0.1, start.Add(2500*day))
	if got := s.Percentile(h, 0.001); got != 9 {
		t.Errorf("500 half-lives later the percentile 0.001 is %v, want 9", got)
	}
	if h.Total <= 0 || h.Total > 1e30 {
		t.Errorf("the total weight is %v", h.Total)
	}
}

func TestSubtractUndoesAdd(t *testing.T) {
	s := NewScheme(Exponential(1000, 0.01, 1.05), 1e-4, day)
	var h Histogram
	s.Add(&h, 3, 1, start)
	s.Subtract(&h, 3, 1, start)
	if !s.Empty(h) || h.Total != 0 || s.Percentile(h, 0.9) != 0 {
		t.Errorf("after adding and subtracting: %+v", h)
	}
	// Taking out what was never there changes no other bucket.
	s.Add(&h, 3, 1, start)
	s.Subtract(&h, 700, 1, start)
	if got := s.Percentile(h, 0.5); got < 3 || got > 3.2 {
		t.Errorf("the median of one sample of 3 is %v", got)
	}
}

// pair is our histogram beside upstream's.
type pair struct {
	ours    Histogram
	theirs  oracle.Histogram
	options oracle.HistogramOptions
}

// TestEqualsUpstream does the same to our histogram and to upstream's, and wants
// the same percentiles and checkpoints, to the last bit.
func TestEqualsUpstream(t *testing.T) {
	options, err := oracle.NewExponentialHistogramOptions(1000, 0.01, 1.05, 1e-4)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		halfLife := time.Duration(1+random.IntN(48)) * time.Hour
		s := NewScheme(Exponential(1000, 0.01, 1.05), 1e-4, halfLife)
		p := pair{options: options, theirs: oracle.NewDecayingHistogram(options, halfLife)}
		at := start
		for range 1 + random.IntN(200) {
			at = at.Add(time.Duration(random.Int64N(int64(6 * time.Hour))))
			if random.IntN(50) == 0 {
				at = at.Add(time.Duration(random.IntN(150)) * halfLife)
			}
			value, weight := random.ExpFloat64()*float64(1+random.IntN(100)), 0.1*float64(1+random.IntN(10))
			if random.IntN(4) == 0 {
				value = float64(random.IntN(40)) / 1000
			}
			s.Add(&p.ours, value, weight, at)
			p.theirs.AddSample(value, weight, at)
			if random.IntN(4) == 0 {
				s.Subtract(&p.ours, value, weight, at)
				p.theirs.SubtractSample(value, weight, at)
			}
		}
		p.compare(t, seed, s)
	}
}

func (p pair) compare(t *testing.T, seed uint64, s *Scheme) {
	t.Helper()
	if s.Empty(p.ours) != p.theirs.IsEmpty() {
		t.Errorf("seed %d: empty %v, upstream's %v", seed, s.Empty(p.ours), p.theirs.IsEmpty())
	}
	for i := range 101 {
		at := float64(i) / 100
		if got, want := s.Percentile(p.ours, at), p.theirs.Percentile(at); got != want {
			t.Fatalf("seed %d: the percentile %v is %v, upstream's %v", seed, at, got, want)
		}
	}
	saved, err := p.theirs.SaveToChekpoint()
	if err != nil {
		t.Fatal(err)
	}
	ours := &vpav1.HistogramCheckpoint{
		ReferenceTimestamp: metav1.NewTime(p.ours.Reference), TotalWeight: p.ours.Total, BucketWeights: s.Save(p.ours, 10000),
	}
	if diff := cmp.Diff(saved, ours); diff != "" {
		t.Fatalf("seed %d: checkpoints (-upstream's +ours):\n%s", seed, diff)
	}
	var back Histogram
	s.Load(&back, saved.BucketWeights, saved.TotalWeight, saved.ReferenceTimestamp.Time)
	fresh := oracle.NewDecayingHistogram(p.options, s.halfLife)
	if err := fresh.LoadFromCheckpoint(saved); err != nil {
		t.Fatal(err)
	}
	for _, at := range []float64{0.5, 0.9, 0.95} {
		if got, want := s.Percentile(back, at), fresh.Percentile(at); got != want {
			t.Errorf("seed %d: read from a checkpoint the percentile %v is %v, upstream's %v", seed, at, got, want)
		}
	}
}

func TestSurvivesJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	s := NewScheme(Exponential(1e12, 1e7, 1.05), 1e-4, day)
	var h Histogram
	for range 500 {
		s.Add(&h, random.Float64()*1e10, 1, start.Add(time.Duration(random.IntN(2000))*time.Hour))
	}
	content, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back Histogram
	if err := json.Unmarshal(content, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, back); diff != "" {
		t.Errorf("after JSON (-before +after):\n%s", diff)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	s := NewScheme(Linear(10, 1), 1e-6, day)
	var h Histogram
	s.Add(&h, 5, 1, start)
	kept := h.Clone()
	other := h.Clone()
	s.Add(&other, 5, 1, start)
	s.Add(&other, 1, 1, start)
	if diff := cmp.Diff(kept, h); diff != "" {
		t.Errorf("adding to a clone changed the original (-before +after):\n%s", diff)
	}
}
