package histogram

import (
	"math"
	"time"
)

// Retime takes over a histogram that was made with another half-life. At the time
// nothing changes: each bucket weighs against a sample of then what it did before,
// and from then on it loses weight at the scheme's own pace. Nothing that weighed
// is lost, which a change of the half-life alone could bring about: the reference
// may be a hundred half-lives ago.
func (s *Scheme) Retime(h *Histogram, from time.Duration, at time.Time) {
	if from == s.halfLife {
		return
	}
	if len(h.Weights) == 0 {
		*h = Histogram{}
		return
	}
	reference := h.Reference
	if s.halfLife > 0 {
		reference = at.UTC().Round(s.halfLife)
	}
	factor := math.Exp2(halfLives(at.Sub(reference), s.halfLife) - halfLives(at.Sub(h.Reference), from))
	for i := range h.Weights {
		h.Weights[i] *= factor
	}
	h.Total *= factor
	h.Reference = reference
	h.trim()
}

// halfLives is how many of them a time is; 0 where nothing decays.
func halfLives(of, halfLife time.Duration) float64 {
	if halfLife == 0 {
		return 0
	}
	return float64(of) / float64(halfLife)
}
