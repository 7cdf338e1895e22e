package resourcepolicy

import (
	"math"
	"math/big"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// scaled is the two resources that are controlled.
var scaled = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// unit reads a quantity as a whole number: CPU in thousandths of a core,
// everything else in units, both rounded up.
func unit(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

func fromUnit(name corev1.ResourceName, n int64, format resource.Format) resource.Quantity {
	if name == corev1.ResourceCPU {
		return *resource.NewMilliQuantity(n, format)
	}
	return *resource.NewQuantity(n, format)
}

// share is a value to be multiplied by to / from.
type share struct {
	name            corev1.ResourceName
	value, from, to resource.Quantity
}

// of gives the product in whole units: rounded down, or up where ceil. Where it
// does not fit it becomes the largest value, and fits is false.
func (s share) of(ceil bool) (result resource.Quantity, fits bool) {
	base := unit(s.name, s.from)
	if base == 0 {
		return s.value, true
	}
	n := new(big.Int).Mul(big.NewInt(unit(s.name, s.value)), big.NewInt(unit(s.name, s.to)))
	rest := new(big.Int)
	n.DivMod(n, big.NewInt(base), rest)
	if !n.IsInt64() {
		return fromUnit(s.name, math.MaxInt64, s.value.Format), false
	}
	whole := n.Int64()
	if ceil && rest.Sign() != 0 && whole < math.MaxInt64 {
		whole++
	}
	return fromUnit(s.name, whole, s.value.Format), true
}

// ratio is a container's limit and request of one resource, and the limit that
// the namespace gives to containers without one.
type ratio struct {
	name                   corev1.ResourceName
	limit, request, preset resource.Quantity
}

func ratioOf(c Container, name corev1.ResourceName, presets corev1.ResourceList) ratio {
	return ratio{name: name, limit: c.Limits[name], request: c.Requests[name], preset: presets[name]}
}

// effective is the limit in force; false where there is none.
func (r ratio) effective() (resource.Quantity, bool) {
	if r.limit.Value() != 0 {
		return r.limit, true
	}
	return r.preset, r.preset.Value() != 0
}

// Why no proportional limit was set.
const (
	noLimit   = "limit NOT set since originalLimit is nil or 0"
	noRequest = "limit NOT set since recommendedRequest is nil or 0"
	tooLarge  = "failed to keep limit to request ratio; capping limit to int64"
)

// limitFor is the limit in proportion to a new request. ok is false where none
// is to be set; note says why, or that the proportion could not be kept.
func (r ratio) limitFor(request resource.Quantity) (limit resource.Quantity, ok bool, note string) {
	current, limited := r.effective()
	switch {
	case !limited:
		return resource.Quantity{}, false, noLimit
	case request.Value() == 0:
		return resource.Quantity{}, false, noRequest
	case r.request.Value() == 0, r.request.MilliValue() == current.MilliValue():
		// A limit without a request is its own request, as Kubernetes has it.
		return request, true, ""
	}
	limit, fits := share{name: r.name, value: current, from: r.request, to: request}.of(false)
	if !fits {
		return limit, true, tooLarge
	}
	return limit, true, ""
}

// requestFor is the request whose proportional limit is the given one; zero
// where the container has no limit.
func (r ratio) requestFor(limit resource.Quantity) resource.Quantity {
	current, limited := r.effective()
	switch {
	case !limited:
		return resource.Quantity{}
	case r.request.Value() == 0:
		return limit
	}
	request, _ := share{name: r.name, value: r.request, from: current, to: limit}.of(false)
	return request
}

// ProportionalLimits gives the limits of CPU and memory that have the same
// proportion to the new requests as the container's limits have to its requests.
// presets are the limits that a LimitRange gives to containers without. The
// result is nil where no limit is to be set. Notes say, as "resource: why",
// where one limit of the two is not set or the proportion could not be kept.
func ProportionalLimits(c Container, requests, presets corev1.ResourceList) (limits corev1.ResourceList, notes []string) {
	for _, name := range scaled {
		limit, ok, note := ratioOf(c, name, presets).limitFor(requests[name])
		if note != "" {
			notes = append(notes, string(name)+": "+note)
		}
		if ok {
			if limits == nil {
				limits = corev1.ResourceList{}
			}
			limits[name] = limit
		}
	}
	if limits == nil {
		return nil, nil
	}
	return limits, notes
}
