package resourcepolicy

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Bounds are what LimitRanges ask of the limits of one container, or of the sum
// over a pod. Default is the limit of a container that has none.
type Bounds struct {
	Min     corev1.ResourceList `json:"min,omitempty"`
	Max     corev1.ResourceList `json:"max,omitempty"`
	Default corev1.ResourceList `json:"default,omitempty"`
}

// Limits are the joint effect of all LimitRanges of a namespace. Nil means no
// bounds.
type Limits struct {
	Container *Bounds `json:"container,omitempty"`
	Pod       *Bounds `json:"pod,omitempty"`
}

// Defaults are the limits that containers without one get; nil where there are
// none.
func (l Limits) Defaults() corev1.ResourceList {
	if l.Container == nil {
		return nil
	}
	return l.Container.Default
}

// Combine joins the LimitRanges of one namespace: of each minimum the highest,
// of each maximum the lowest, and the defaults of the last one by name.
func Combine(ranges []corev1.LimitRange) Limits {
	ordered := slices.Clone(ranges)
	slices.SortFunc(ordered, func(a, b corev1.LimitRange) int { return strings.Compare(a.Name, b.Name) })
	return Limits{
		Container: combine(ordered, corev1.LimitTypeContainer),
		Pod:       combine(ordered, corev1.LimitTypePod),
	}
}

func combine(ranges []corev1.LimitRange, kind corev1.LimitType) *Bounds {
	var b Bounds
	for i := range ranges {
		for _, item := range ranges[i].Spec.Limits {
			if item.Type != kind {
				continue
			}
			if item.Default != nil {
				b.Default = item.Default.DeepCopy()
			}
			b.Max = tighter(b.Max, item.Max, -1)
			b.Min = tighter(b.Min, item.Min, 1)
		}
	}
	if len(b.Min) == 0 && len(b.Max) == 0 && len(b.Default) == 0 {
		return nil
	}
	return &b
}

// tighter takes of CPU and memory the value that compares as sign to the other:
// the higher one for 1, the lower one for -1.
func tighter(have, more corev1.ResourceList, sign int) corev1.ResourceList {
	for _, name := range scaled {
		q, ok := more[name]
		if !ok {
			continue
		}
		old, known := have[name]
		if known && q.Cmp(old) != sign {
			continue
		}
		if have == nil {
			have = corev1.ResourceList{}
		}
		have[name] = q.DeepCopy()
	}
	return have
}

// requests turns bounds on a container's limits into bounds on its requests,
// while the proportion of the two is kept. A minimum also holds for the request
// itself.
func (b *Bounds) requests(c Container) (least, most corev1.ResourceList) {
	least, most = corev1.ResourceList{}, corev1.ResourceList{}
	for _, name := range scaled {
		r := ratioOf(c, name, b.Default)
		if limit, ok := b.Max[name]; ok {
			most[name] = r.requestFor(limit)
		}
		if limit, ok := b.Min[name]; ok {
			least[name] = r.requestFor(limit)
			if limit.Cmp(least[name]) > 0 {
				least[name] = limit
			}
		}
	}
	return least, most
}
