package vertical

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// LimitRanges holds all LimitRanges.
type LimitRanges struct {
	informer cache.SharedIndexInformer

	mu sync.Mutex
	// joined are the joint effects of namespaces, with what they were made of.
	joined map[string]joined
}

// joined is the joint effect of LimitRanges. The cache never changes an object in
// place, so the same objects have the same effect.
type joined struct {
	of     []any
	limits resourcepolicy.Limits
}

// NewLimitRanges makes the cache. It fills while Run runs.
func NewLimitRanges(client kubernetes.Interface) *LimitRanges {
	return &LimitRanges{
		informer: coreinformers.NewLimitRangeInformer(client, metav1.NamespaceAll, 0,
			cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
		joined: map[string]joined{},
	}
}

// Run fills the cache and keeps it current until the context ends.
func (c *LimitRanges) Run(ctx context.Context) { c.informer.RunWithContext(ctx) }

// Synced tells whether the cache has seen all LimitRanges once.
func (c *LimitRanges) Synced() bool { return c.informer.HasSynced() }

// Of gives the joint effect of a namespace's LimitRanges. It is shared and must not
// be changed.
func (c *LimitRanges) Of(namespace string) resourcepolicy.Limits {
	found, err := c.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return resourcepolicy.Limits{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(found) == 0 {
		delete(c.joined, namespace)
		return resourcepolicy.Limits{}
	}
	if kept, ok := c.joined[namespace]; ok && sameObjects(kept.of, found) {
		return kept.limits
	}
	ranges := make([]corev1.LimitRange, 0, len(found))
	for _, o := range found {
		if r, ok := o.(*corev1.LimitRange); ok {
			ranges = append(ranges, *r)
		}
	}
	limits := resourcepolicy.Combine(ranges)
	c.joined[namespace] = joined{of: found, limits: limits}
	return limits
}

// sameObjects tells whether two lists hold the same objects, in any order.
func sameObjects(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for _, o := range a {
		if !slices.Contains(b, o) {
			return false
		}
	}
	return true
}

// All gives a namespace's LimitRanges, in no order. What they hold is shared and
// must not be changed.
func (c *LimitRanges) All(namespace string) []corev1.LimitRange {
	found, err := c.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil
	}
	ranges := make([]corev1.LimitRange, 0, len(found))
	for _, o := range found {
		if r, ok := o.(*corev1.LimitRange); ok {
			ranges = append(ranges, *r)
		}
	}
	return ranges
}
