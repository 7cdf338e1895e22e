package vertical

import (
	"context"

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
}

// NewLimitRanges makes the cache. It fills while Run runs.
func NewLimitRanges(client kubernetes.Interface) *LimitRanges {
	return &LimitRanges{informer: coreinformers.NewLimitRangeInformer(client, metav1.NamespaceAll, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}
}

// Run fills the cache and keeps it current until the context ends.
func (c *LimitRanges) Run(ctx context.Context) { c.informer.RunWithContext(ctx) }

// Synced tells whether the cache has seen all LimitRanges once.
func (c *LimitRanges) Synced() bool { return c.informer.HasSynced() }

// Of gives the joint effect of a namespace's LimitRanges.
func (c *LimitRanges) Of(namespace string) resourcepolicy.Limits {
	found, err := c.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return resourcepolicy.Limits{}
	}
	ranges := make([]corev1.LimitRange, 0, len(found))
	for _, o := range found {
		if r, ok := o.(*corev1.LimitRange); ok {
			ranges = append(ranges, *r)
		}
	}
	return resourcepolicy.Combine(ranges)
}
