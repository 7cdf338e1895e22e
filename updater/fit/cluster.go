package fit

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Amounts are quantities by resource: CPU in thousandths of a core, everything
// else in whole units, rounded up.
type Amounts map[corev1.ResourceName]int64

// AmountsOf reads a list.
func AmountsOf(list corev1.ResourceList) Amounts {
	if len(list) == 0 {
		return nil
	}
	out := make(Amounts, len(list))
	for name, q := range list {
		out[name] = unit(name, q)
	}
	return out
}

// milli tells the resources that are counted in thousandths.
func milli(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || strings.HasSuffix(string(name), ".cpu")
}

func unit(name corev1.ResourceName, q resource.Quantity) int64 {
	if milli(name) {
		return q.MilliValue()
	}
	return q.Value()
}

// text writes one amount as people do.
func text(name corev1.ResourceName, n int64) string {
	switch {
	case milli(name):
		return resource.NewMilliQuantity(n, resource.DecimalSI).String()
	case name == corev1.ResourcePods:
		return resource.NewQuantity(n, resource.DecimalSI).String()
	}
	return resource.NewQuantity(n, resource.BinarySI).String()
}

// add gives a sum of its own.
func (a Amounts) add(b Amounts) Amounts {
	out := make(Amounts, len(a)+len(b))
	maps.Copy(out, a)
	for name, n := range b {
		out[name] += n
	}
	return out
}

// less gives a difference of its own.
func (a Amounts) less(b Amounts) Amounts {
	out := make(Amounts, len(a)+len(b))
	maps.Copy(out, a)
	for name, n := range b {
		out[name] -= n
	}
	return out
}

func (a Amounts) names() []corev1.ResourceName { return slices.Sorted(maps.Keys(a)) }

// String lists what is above zero, as "cpu 200m, memory 1Gi".
func (a Amounts) String() string {
	var parts []string
	for _, name := range a.names() {
		if a[name] > 0 {
			parts = append(parts, string(name)+" "+text(name, a[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// Cluster is what there is. Empty and absent mean the same in every field.
type Cluster struct {
	// Unknown tells why any of it could not be read. Nothing fits then.
	Unknown string  `json:"unknown,omitempty"`
	Nodes   []Node  `json:"nodes,omitempty"`
	Pools   []Pool  `json:"pools,omitempty"`
	Quotas  []Quota `json:"quotas,omitempty"`
	Ranges  []Range `json:"ranges,omitempty"`
}

// Node is one that is ready.
type Node struct {
	Name string `json:"name"`
	// Labels are those that the pods in question ask for.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
	// Allocatable is what its pods may request together, and Free what is left
	// besides those that it has and those that are on their way to it.
	Allocatable Amounts `json:"allocatable,omitempty"`
	Free        Amounts `json:"free,omitempty"`
}

// Pool is a pool of nodes that may grow.
type Pool struct {
	Name string `json:"name"`
	// Labels and Taints are those of a new node; Zones the zones that it may be in.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
	Zones  []string          `json:"zones,omitempty"`
	// Free is what a new node has, less what the pods take that every node runs.
	Free Amounts `json:"free,omitempty"`
	// Nodes is how many there are or were asked for, Max how many there may be.
	Nodes int32 `json:"nodes,omitempty"`
	Max   int32 `json:"max,omitempty"`
	// Still tells why the pool does not grow whatever its size.
	Still string `json:"still,omitempty"`
}

// Quota is a ResourceQuota of the namespace, as far as it is about CPU, memory and
// the number of pods: Hard and Used have the names requests.cpu, requests.memory,
// limits.cpu, limits.memory and pods.
type Quota struct {
	Name string `json:"name"`
	// Scopes all have to match a pod for it to count.
	Scopes []corev1.ScopedResourceSelectorRequirement `json:"scopes,omitempty"`
	Hard   Amounts                                    `json:"hard,omitempty"`
	Used   Amounts                                    `json:"used,omitempty"`
}

// Range is one item of a LimitRange of the namespace, for containers or for whole
// pods.
type Range struct {
	Name string           `json:"name"`
	Type corev1.LimitType `json:"type"`
	Min  Amounts          `json:"min,omitempty"`
	Max  Amounts          `json:"max,omitempty"`
	// Ratio is the highest limit for a request of 1000.
	Ratio Amounts `json:"ratio,omitempty"`
}

// The names that a quota counts under.
const (
	requestsPrefix = "requests."
	limitsPrefix   = "limits."
)

// QuotaOf reads the part of a ResourceQuota that the package looks at; false where
// there is none. Where one resource is stated under two names, the tighter counts.
func QuotaOf(q *corev1.ResourceQuota) (Quota, bool) {
	out := Quota{Name: q.Name, Hard: Amounts{}, Used: Amounts{}}
	for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		as, known := counted(name)
		if !known {
			continue
		}
		hard, used := q.Status.Hard[name], q.Status.Used[name]
		h, u := unit(as, hard), unit(as, used)
		if have, twice := out.Hard[as]; twice && have-out.Used[as] <= h-u {
			continue
		}
		out.Hard[as], out.Used[as] = h, u
	}
	for _, scope := range q.Spec.Scopes {
		out.Scopes = append(out.Scopes, corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists})
	}
	if s := q.Spec.ScopeSelector; s != nil {
		out.Scopes = append(out.Scopes, s.MatchExpressions...)
	}
	return out, len(out.Hard) > 0
}

// counted is the name that a quota's resource is counted under.
func counted(name corev1.ResourceName) (corev1.ResourceName, bool) {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory:
		return requestsPrefix + name, true
	case corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourcePods:
		return name, true
	case "count" + "/" + corev1.ResourcePods:
		return corev1.ResourcePods, true
	}
	return "", false
}

// RangesOf reads the items of a LimitRange that are about containers and pods.
func RangesOf(r *corev1.LimitRange) []Range {
	var out []Range
	for _, item := range r.Spec.Limits {
		if item.Type != corev1.LimitTypeContainer && item.Type != corev1.LimitTypePod {
			continue
		}
		one := Range{Name: r.Name, Type: item.Type, Min: scaled(item.Min), Max: scaled(item.Max)}
		for _, name := range both {
			if q, ok := item.MaxLimitRequestRatio[name]; ok {
				if one.Ratio == nil {
					one.Ratio = Amounts{}
				}
				one.Ratio[name] = q.MilliValue()
			}
		}
		if len(one.Min)+len(one.Max)+len(one.Ratio) > 0 {
			out = append(out, one)
		}
	}
	return out
}

// both are the two resources that updates change.
var both = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// scaled reads CPU and memory of a list.
func scaled(list corev1.ResourceList) Amounts {
	var out Amounts
	for _, name := range both {
		if q, ok := list[name]; ok {
			if out == nil {
				out = Amounts{}
			}
			out[name] = unit(name, q)
		}
	}
	return out
}
