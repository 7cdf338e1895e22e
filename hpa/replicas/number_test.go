package replicas

import (
	"math"
	"math/big"
	"testing"
)

// FuzzSum compares the 128-bit sum with big integers.
func FuzzSum(f *testing.F) {
	f.Add(int64(1), int64(2), int64(3), int64(2))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(7))
	f.Add(int64(math.MinInt64), int64(math.MinInt64), int64(-1), int64(1))
	f.Fuzz(func(t *testing.T, a, b, c, n int64) {
		if n <= 0 {
			n = 1
		}
		var s sum
		want := new(big.Int)
		for _, v := range []int64{a, b, c} {
			s.add(v)
			want.Add(want, big.NewInt(v))
		}
		var other sum
		other.add(c)
		twice := s.plus(other)
		if got := twice.int64(); got != fit(new(big.Int).Add(want, big.NewInt(c))) {
			t.Errorf("plus: got %d", got)
		}
		want.Quo(want, big.NewInt(n))
		if got := s.quo(n); got != fit(want) {
			t.Errorf("(%d+%d+%d)/%d = %d, want %s", a, b, c, n, got, want)
		}
	})
}

func fit(v *big.Int) int64 {
	switch {
	case v.IsInt64():
		return v.Int64()
	case v.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

func TestPercentOf(t *testing.T) {
	tests := map[string]struct {
		part, whole int64
		want        int32
	}{
		"truncated":          {2999, 10000, 29},
		"whole":              {30, 100, 30},
		"nothing":            {0, 100, 0},
		"negative":           {-50, 100, -50},
		"huge part":          {math.MaxInt64, 1, math.MaxInt32},
		"huge both":          {math.MaxInt64, math.MaxInt64, 100},
		"more than an int32": {math.MaxInt64 / 200, 1, math.MaxInt32},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var a, b sum
			a.add(tc.part)
			b.add(tc.whole)
			if got := a.percentOf(b); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestScaleSaturates(t *testing.T) {
	if got := scale(1000, 150, 100); got != 1500 {
		t.Errorf("got %d", got)
	}
	if got := scale(math.MaxInt64, 1000, 100); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
	if toInt32(math.Inf(1)) != math.MaxInt32 || toInt32(-1e300) != math.MinInt32 || toInt64(1e300) != math.MaxInt64 {
		t.Error("floats that do not fit must become the nearest that do")
	}
}
