package query

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

// milli is the finest that a metric's quantity tells.
const milli = 1000

// Quantity renders a finite value to the nearest thousandth. What is not zero
// never becomes zero: it becomes the thousandth nearest to zero. Values beyond
// the range of a quantity become the range's end.
func Quantity(v float64) resource.Quantity {
	scaled := math.Round(v * milli)
	switch {
	case scaled == 0 && v > 0:
		scaled = 1
	case scaled == 0 && v < 0:
		scaled = -1
	case math.Abs(scaled) < math.MaxInt64:
	case math.Abs(v) < math.MaxInt64:
		return *resource.NewQuantity(int64(v), resource.DecimalSI)
	case v > 0:
		return *resource.NewQuantity(math.MaxInt64, resource.DecimalSI)
	default:
		return *resource.NewQuantity(-math.MaxInt64, resource.DecimalSI)
	}
	return *resource.NewMilliQuantity(int64(scaled), resource.DecimalSI)
}
