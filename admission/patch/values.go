package patch

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// changes counts the values that are not as wanted.
func changes(now, want corev1.ResourceList) int {
	n := 0
	for name, q := range want {
		if differs(now, name, q.Cmp) {
			n++
		}
	}
	return n
}

func differs(now corev1.ResourceList, name corev1.ResourceName, compare func(resource.Quantity) int) bool {
	have, ok := now[name]
	return !ok || compare(have) != 0
}

// over lays wanted values over those that are.
func over(now, want corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	maps.Copy(out, now)
	maps.Copy(out, want)
	return out
}

// text lists values in order, as "cpu 100m, memory 1Gi".
func text(list corev1.ResourceList) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		out = append(out, string(name)+" "+q.String())
	}
	return strings.Join(out, ", ")
}

func resources(requests, limits corev1.ResourceList) string {
	var out []string
	if len(requests) > 0 {
		out = append(out, "requests "+text(requests))
	}
	if len(limits) > 0 {
		out = append(out, "limits "+text(limits))
	}
	return strings.Join(out, "; ")
}

// escape makes a name fit a JSON pointer (RFC 6901).
func escape(name string) string { return escaper.Replace(name) }

var escaper = strings.NewReplacer("~", "~0", "/", "~1")
