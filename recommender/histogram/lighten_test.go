package histogram

import (
	"math"
	"testing"
	"time"
)

func TestLightenKeepsTheShape(t *testing.T) {
	s := NewScheme(Linear(10, 1), 1e-9, time.Hour)
	var h Histogram
	for i := range 100 {
		s.Add(&h, float64(i%10), 1, start.Add(time.Duration(i)*time.Minute))
	}
	now := start.Add(100 * time.Minute)
	light := h.Clone()
	s.Lighten(&light, 0.5, now)
	if got := light.Total / s.factor(&light, now); math.Abs(got-0.5) > 1e-12 {
		t.Errorf("it weighs %g samples, want 0.5", got)
	}
	for _, p := range []float64{0.1, 0.5, 0.9} {
		if want, got := s.Percentile(h, p), s.Percentile(light, p); want != got {
			t.Errorf("the p%g is %g, want %g", 100*p, got, want)
		}
	}
	same := h.Clone()
	s.Lighten(&same, 1000, now)
	if same.Total != h.Total {
		t.Errorf("one that is light enough weighs %g, want %g", same.Total, h.Total)
	}
}
