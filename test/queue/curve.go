package queue

import (
	"math"
	"time"
)

// Day is a rate of arrivals that follows a day: a quiet night, a rise, a peak at
// noon, a fall, with bursts on top.
type Day struct {
	// Length is how long the day takes.
	Length time.Duration
	// Night and Noon are messages per second at the quietest and the busiest.
	Night, Noon float64
	// Bursts come at equal distances; each multiplies the rate by BurstFactor for
	// BurstLength.
	Bursts      int
	BurstFactor float64
	BurstLength time.Duration
}

// Rate is the messages per second at time t since midnight. Days repeat.
func (d Day) Rate(t time.Duration) float64 {
	t %= d.Length
	part := float64(t) / float64(d.Length)
	// Half of a cosine's wave, raised to the third power: the night is long.
	wave := math.Pow((1-math.Cos(2*math.Pi*part))/2, 3)
	rate := d.Night + float64((d.Noon-d.Night)*wave)
	if d.inBurst(t) {
		rate *= d.BurstFactor
	}
	return rate
}

func (d Day) inBurst(t time.Duration) bool {
	if d.Bursts == 0 {
		return false
	}
	gap := d.Length / time.Duration(d.Bursts+1)
	for i := 1; i <= d.Bursts; i++ {
		start := gap * time.Duration(i)
		if t >= start && t < start+d.BurstLength {
			return true
		}
	}
	return false
}

// Mean is the mean rate over a day, by the midpoints of n equal parts.
func (d Day) Mean(n int) float64 {
	sum := 0.0
	for i := range n {
		sum += d.Rate(time.Duration((float64(i) + 0.5) / float64(n) * float64(d.Length)))
	}
	return sum / float64(n)
}
