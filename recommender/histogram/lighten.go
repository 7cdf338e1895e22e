package histogram

import "time"

// Lighten makes a histogram weigh at most so much against samples of a time, and
// leaves its shape as it is.
func (s *Scheme) Lighten(h *Histogram, most float64, at time.Time) {
	now := h.Total / s.factor(h, at)
	if now <= most {
		return
	}
	ratio := most / now
	for i := range h.Weights {
		h.Weights[i] *= ratio
	}
	h.Total *= ratio
}
