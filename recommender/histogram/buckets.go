package histogram

import "math"

// Buckets divide the values from 0 up. Values beyond the last bucket's start
// belong to the last one.
type Buckets struct {
	count int
	// width is the first bucket's, ratio what each next one is wider by; a ratio
	// of 1 makes all the same.
	width, ratio float64
}

// Linear makes buckets of one width that reach maximum at least.
func Linear(maximum, width float64) Buckets {
	return Buckets{count: int(math.Ceil(maximum/width)) + 1, width: width, ratio: 1}
}

// Exponential makes buckets of which each is wider by the ratio than the one
// before it, and of which the last begins at maximum or above.
func Exponential(maximum, width, ratio float64) Buckets {
	reach := float64(maximum*(ratio-1))/width + 1
	return Buckets{count: int(math.Ceil(logarithm(ratio, reach))) + 1, width: width, ratio: ratio}
}

func (b Buckets) find(value float64) int {
	if value < b.width {
		return 0
	}
	if b.ratio == 1 {
		return min(int(value/b.width), b.count-1)
	}
	reach := float64(value*(b.ratio-1))/b.width + 1
	return min(int(logarithm(b.ratio, reach)), b.count-1)
}

func (b Buckets) start(bucket int) float64 {
	switch {
	case bucket == 0:
		return 0
	case b.ratio == 1:
		return float64(bucket) * b.width
	}
	return b.width * (math.Pow(b.ratio, float64(bucket)) - 1) / (b.ratio - 1)
}

func logarithm(base, x float64) float64 { return math.Log(x) / math.Log(base) }
