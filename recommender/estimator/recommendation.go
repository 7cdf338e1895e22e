package estimator

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Names of the two resources.
const (
	CPU    = "cpu"
	Memory = "memory"
)

// resources is their order in steps and texts.
var resources = []string{CPU, Memory}

// Amounts are CPU in millicores and memory in bytes; nil is unset.
type Amounts struct {
	CPU    *int64 `json:"cpu,omitempty"`
	Memory *int64 `json:"memory,omitempty"`
}

// Of gives one resource's amount, nil where unset.
func (a Amounts) Of(name string) *int64 {
	if name == CPU {
		return a.CPU
	}
	return a.Memory
}

func (a *Amounts) set(name string, amount int64) {
	if name == CPU {
		a.CPU = &amount
		return
	}
	a.Memory = &amount
}

func (a Amounts) equal(b Amounts) bool {
	same := func(x, y *int64) bool { return (x == nil) == (y == nil) && (x == nil || *x == *y) }
	return same(a.CPU, b.CPU) && same(a.Memory, b.Memory)
}

// Quantity is an amount as the API writes it.
func Quantity(name string, amount int64) *resource.Quantity {
	if name == CPU {
		return resource.NewMilliQuantity(amount, resource.DecimalSI)
	}
	return resource.NewQuantity(amount, resource.BinarySI)
}

// Recommendation is what all containers of a pod are recommended, sorted by
// their names.
type Recommendation []ContainerRecommendation

// ContainerRecommendation is what one container is recommended.
type ContainerRecommendation struct {
	Container string  `json:"container"`
	Target    Amounts `json:"target,omitzero"`
	Lower     Amounts `json:"lower,omitzero"`
	Upper     Amounts `json:"upper,omitzero"`
	// Uncapped is the target before the policy's bounds.
	Uncapped Amounts `json:"uncapped,omitzero"`
}

// String gives the targets: "app cpu 126m memory 256Mi, sidecar cpu 13m".
func (r Recommendation) String() string {
	if len(r) == 0 {
		return "none"
	}
	all := make([]string, len(r))
	for i, c := range r {
		parts := []string{c.Container}
		for _, name := range resources {
			if amount := c.Target.Of(name); amount != nil {
				parts = append(parts, name, Quantity(name, *amount).String())
			}
		}
		all[i] = strings.Join(parts, " ")
	}
	return strings.Join(all, ", ")
}

// Equal tells whether two recommendations are the same.
func (r Recommendation) Equal(other Recommendation) bool {
	return slices.EqualFunc(r, other, func(a, b ContainerRecommendation) bool {
		return a.Container == b.Container && a.Target.equal(b.Target) && a.Lower.equal(b.Lower) &&
			a.Upper.equal(b.Upper) && a.Uncapped.equal(b.Uncapped)
	})
}

func (r Recommendation) of(container string) (ContainerRecommendation, bool) {
	i := slices.IndexFunc(r, func(c ContainerRecommendation) bool { return c.Container == container })
	if i < 0 {
		return ContainerRecommendation{}, false
	}
	return r[i], true
}
