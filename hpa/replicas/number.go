package replicas

import (
	"math"
	"math/bits"
)

// sum adds int64 values in 128 bits (two's complement), so that no order of
// addition and no value overflows.
type sum struct {
	hi int64
	lo uint64
}

func (s *sum) add(v int64) {
	lo, carry := bits.Add64(s.lo, uint64(v), 0)
	s.lo = lo
	s.hi += v>>63 + int64(carry)
}

func (s sum) plus(o sum) sum {
	lo, carry := bits.Add64(s.lo, o.lo, 0)
	return sum{hi: s.hi + o.hi + int64(carry), lo: lo}
}

func (s sum) negative() bool { return s.hi < 0 }

func (s sum) zero() bool { return s.hi == 0 && s.lo == 0 }

// magnitude is the absolute value as two unsigned halves.
func (s sum) magnitude() (hi, lo uint64) {
	if !s.negative() {
		return uint64(s.hi), s.lo
	}
	lo, borrow := bits.Sub64(0, s.lo, 0)
	hi, _ = bits.Sub64(0, uint64(s.hi), borrow)
	return hi, lo
}

// int64 is the sum, or the nearest value that fits.
func (s sum) int64() int64 { return s.quo(1) }

// quo divides and truncates toward zero; a result that does not fit becomes the
// nearest value that does. n must be positive.
func (s sum) quo(n int64) int64 {
	hi, lo := s.magnitude()
	q := uint64(math.MaxUint64)
	if hi < uint64(n) {
		q, _ = bits.Div64(hi, lo, uint64(n))
	}
	switch {
	case s.negative() && q > math.MaxInt64:
		return math.MinInt64
	case s.negative():
		return -int64(q)
	case q > math.MaxInt64:
		return math.MaxInt64
	}
	return int64(q)
}

// percentOf is what share of other the sum is, in whole per cent, truncated.
// Other must be positive.
func (s sum) percentOf(other sum) int32 {
	total, whole := s.int64(), other.int64()
	if abs := max(total, -total); abs >= 0 && abs <= math.MaxInt64/100 {
		return int32(min(max(total*100/whole, math.MinInt32), math.MaxInt32))
	}
	return toInt32(math.Trunc(float64(total) / float64(whole) * 100))
}

// scale gives a*b/c truncated, for values that are not negative; a result that
// does not fit becomes the largest that does.
func scale(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, math.MaxInt64))
}

// toInt32 converts a whole float to the nearest int32.
func toInt32(f float64) int32 {
	switch {
	case f >= math.MaxInt32:
		return math.MaxInt32
	case f <= math.MinInt32:
		return math.MinInt32
	}
	return int32(f)
}

// toInt64 converts a whole float to the nearest int64.
func toInt64(f float64) int64 {
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

// pods is the count that a ratio asks for, rounded up.
func pods(ratio float64, n int) int32 { return toInt32(math.Ceil(ratio * float64(n))) }
