// Package histogram is how the recommender remembers usage: weights in buckets
// that grow by a fixed part, where a sample loses half of its weight with each
// half-life. Buckets, rounding and the order of additions are those of the
// upstream recommender, so that its checkpoints mean the same here. It is pure:
// times come with the samples, and it knows neither containers nor resources.
package histogram

import (
	"math"
	"slices"
	"time"
)

// Histogram is the weights of one distribution. The zero value is empty. It
// survives JSON unchanged. A copy shares its weights: Clone before changing.
type Histogram struct {
	// Reference is the time at which a sample has its own weight; later ones have
	// more. It is a multiple of the half-life.
	Reference time.Time `json:"reference,omitzero"`
	// First is the bucket of Weights[0].
	First   int       `json:"first,omitempty"`
	Weights []float64 `json:"weights,omitempty"`
	Total   float64   `json:"total,omitempty"`
}

// Clone gives a histogram that shares nothing with h.
func (h Histogram) Clone() Histogram {
	h.Weights = slices.Clone(h.Weights)
	return h
}

// Scheme is what histograms of one kind have in common: their buckets, what
// counts as empty, and how fast samples lose weight.
type Scheme struct {
	buckets  Buckets
	epsilon  float64
	halfLife time.Duration
}

// maxExponent is how many half-lives a sample may lie after the reference
// before the reference is moved, so that weights stay finite.
const maxExponent = 100

// NewScheme makes a Scheme. A bucket that weighs less than epsilon counts as
// empty; a half-life of 0 lets nothing decay.
func NewScheme(buckets Buckets, epsilon float64, halfLife time.Duration) *Scheme {
	return &Scheme{buckets: buckets, epsilon: epsilon, halfLife: halfLife}
}

// Buckets is the number of buckets.
func (s *Scheme) Buckets() int { return s.buckets.count }

// Bucket is the one that a value belongs to: values of one bucket leave the same
// behind.
func (s *Scheme) Bucket(value float64) int { return s.buckets.find(value) }

// Add puts a sample of the weight into the bucket of the value.
func (s *Scheme) Add(h *Histogram, value, weight float64, at time.Time) {
	weight = float64(weight * s.factor(h, at))
	bucket := s.buckets.find(value)
	h.grow(bucket)
	h.Weights[bucket-h.First] += weight
	h.Total += weight
}

// Subtract takes a sample out that was added before.
func (s *Scheme) Subtract(h *Histogram, value, weight float64, at time.Time) {
	weight = float64(weight * s.factor(h, at))
	h.Total = s.less(h.Total, weight)
	if i := s.buckets.find(value) - h.First; i >= 0 && i < len(h.Weights) {
		h.Weights[i] = s.less(h.Weights[i], weight)
	}
	h.trim()
}

func (s *Scheme) less(value, by float64) float64 {
	if value -= by; value < s.epsilon {
		return 0
	}
	return value
}

// Load adds weights by bucket, which weigh total together at the reference. The
// buckets must be below Buckets and the histogram fresh.
func (s *Scheme) Load(h *Histogram, weights map[int]uint32, total float64, reference time.Time) {
	var sum int64
	for _, weight := range weights {
		sum += int64(weight)
	}
	h.Reference = reference
	if sum == 0 {
		return
	}
	ratio := total / float64(sum)
	for bucket := range s.buckets.count {
		if weight := weights[bucket]; weight > 0 {
			h.grow(bucket)
			h.Weights[bucket-h.First] += float64(float64(weight) * ratio)
		}
	}
	h.Total += total
}

// Save gives the weights as whole numbers, the greatest of them being highest.
func (s *Scheme) Save(h Histogram, highest uint32) map[int]uint32 {
	weights := map[int]uint32{}
	first, last := s.span(h)
	var greatest float64
	for bucket := first; bucket <= last; bucket++ {
		greatest = max(greatest, h.weight(bucket))
	}
	ratio := float64(highest) / greatest
	for bucket := first; bucket <= last; bucket++ {
		if whole := uint32(nearest(h.weight(bucket) * ratio)); whole > 0 {
			weights[bucket] = whole
		}
	}
	return weights
}

// Percentile gives the end of the bucket at which the part p of all weight is
// reached, the start of the last bucket where that is the last, and 0 of an
// empty histogram.
func (s *Scheme) Percentile(h Histogram, p float64) float64 {
	if s.Empty(h) {
		return 0
	}
	bucket, last := s.span(h)
	threshold := p * h.Total
	for sum := 0.0; bucket < last; bucket++ {
		if sum += h.weight(bucket); sum >= threshold {
			break
		}
	}
	return s.buckets.start(min(bucket+1, s.buckets.count-1))
}

// Empty tells whether nothing weighs enough to count.
func (s *Scheme) Empty(h Histogram) bool {
	first, _ := s.span(h)
	return h.weight(first) < s.epsilon
}

// span gives the first and the last bucket that is not empty, or the last and
// the first of all where every one is.
func (s *Scheme) span(h Histogram) (first, last int) {
	first, last = s.buckets.count-1, 0
	for i, weight := range h.Weights {
		if weight >= s.epsilon {
			first = min(first, h.First+i)
			last = h.First + i
		}
	}
	return first, last
}

// factor is what a sample of the time weighs more than one at the reference.
func (s *Scheme) factor(h *Histogram, at time.Time) float64 {
	if s.halfLife == 0 {
		return 1
	}
	if at.After(h.Reference.Add(maxExponent * s.halfLife)) {
		s.shift(h, at)
	}
	return math.Exp2(float64(at.Sub(h.Reference)) / float64(s.halfLife))
}

// shift moves the reference to the multiple of the half-life next to the time.
func (s *Scheme) shift(h *Histogram, to time.Time) {
	to = to.UTC().Round(s.halfLife)
	factor := math.Ldexp(1, nearest(float64(h.Reference.Sub(to))/float64(s.halfLife)))
	for i := range h.Weights {
		h.Weights[i] *= factor
	}
	h.Total *= factor
	h.Reference = to
	h.trim()
}

func (h *Histogram) weight(bucket int) float64 {
	if i := bucket - h.First; i >= 0 && i < len(h.Weights) {
		return h.Weights[i]
	}
	return 0
}

// grow makes room for the bucket.
func (h *Histogram) grow(bucket int) {
	switch {
	case len(h.Weights) == 0:
		h.First, h.Weights = bucket, append(h.Weights, 0)
	case bucket < h.First:
		h.Weights = slices.Concat(make([]float64, h.First-bucket), h.Weights)
		h.First = bucket
	case bucket >= h.First+len(h.Weights):
		h.Weights = append(h.Weights, make([]float64, bucket-h.First-len(h.Weights)+1)...)
	}
}

// trim drops what weighs nothing at both ends.
func (h *Histogram) trim() {
	weighs := func(weight float64) bool { return weight != 0 }
	begin := slices.IndexFunc(h.Weights, weighs)
	if begin < 0 {
		h.First, h.Weights = 0, nil
		return
	}
	end := len(h.Weights)
	for h.Weights[end-1] == 0 {
		end--
	}
	h.First, h.Weights = h.First+begin, h.Weights[begin:end]
}

func nearest(x float64) int { return int(math.Floor(x + 0.5)) }
