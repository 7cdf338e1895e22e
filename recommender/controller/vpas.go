package controller

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	vpainformers "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/informers/externalversions/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/cache"
)

// vpaCache holds all VerticalPodAutoscalers. What it returns is shared and must
// not be changed.
type vpaCache struct {
	informer cache.SharedIndexInformer
	// name is the recommender's, ignored the namespaces that are left alone.
	name    string
	ignored []string
}

func newVPACache(client vpaclient.Interface, o *Options) (*vpaCache, error) {
	informer := vpainformers.NewVerticalPodAutoscalerInformer(client, o.Namespace, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := informer.SetTransform(reduceVPA); err != nil {
		return nil, err
	}
	return &vpaCache{informer: informer, name: o.Name, ignored: o.Ignored}, nil
}

func (c *vpaCache) run(ctx context.Context) { c.informer.RunWithContext(ctx) }

func (c *vpaCache) synced() bool { return c.informer.HasSynced() }

// get finds an object that is this recommender's; nil where there is none.
func (c *vpaCache) get(namespace, name string) *vpav1.VerticalPodAutoscaler {
	vpa := c.any(namespace, name)
	if vpa == nil || !c.ours(vpa) {
		return nil
	}
	return vpa
}

// any finds an object, whoever's it is.
func (c *vpaCache) any(namespace, name string) *vpav1.VerticalPodAutoscaler {
	o, found, err := c.informer.GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	vpa, _ := o.(*vpav1.VerticalPodAutoscaler)
	return vpa
}

// all are the objects that are this recommender's.
func (c *vpaCache) all() []*vpav1.VerticalPodAutoscaler {
	var out []*vpav1.VerticalPodAutoscaler
	for _, o := range c.informer.GetIndexer().List() {
		if vpa, ok := o.(*vpav1.VerticalPodAutoscaler); ok && c.ours(vpa) {
			out = append(out, vpa)
		}
	}
	return out
}

// in are the objects of a namespace that are this recommender's.
func (c *vpaCache) in(namespace string) []*vpav1.VerticalPodAutoscaler {
	found, err := c.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil
	}
	var out []*vpav1.VerticalPodAutoscaler
	for _, o := range found {
		if vpa, ok := o.(*vpav1.VerticalPodAutoscaler); ok && c.ours(vpa) {
			out = append(out, vpa)
		}
	}
	return out
}

// ours tells whether the object chooses this recommender.
func (c *vpaCache) ours(vpa *vpav1.VerticalPodAutoscaler) bool {
	if slices.Contains(c.ignored, vpa.Namespace) {
		return false
	}
	if len(vpa.Spec.Recommenders) == 0 {
		return c.name == defaultName
	}
	return slices.ContainsFunc(vpa.Spec.Recommenders, func(r *vpav1.VerticalPodAutoscalerRecommenderSelector) bool {
		return r != nil && r.Name == c.name
	})
}

// reduceVPA keeps of the managed fields only who wrote the status and when, and
// nothing twice.
func reduceVPA(o any) (any, error) {
	vpa, ok := o.(*vpav1.VerticalPodAutoscaler)
	if !ok {
		return o, nil
	}
	var kept []metav1.ManagedFieldsEntry
	for _, f := range vpa.ManagedFields {
		if f.Subresource == statusSubresource {
			kept = append(kept, metav1.ManagedFieldsEntry{Manager: f.Manager, Subresource: f.Subresource, Time: f.Time})
		}
	}
	vpa.ManagedFields = kept
	delete(vpa.Annotations, corev1.LastAppliedConfigAnnotation)
	if r := vpa.Status.Recommendation; r != nil {
		for i := range r.ContainerRecommendations {
			c := &r.ContainerRecommendations[i]
			if equality.Semantic.DeepEqual(c.Target, c.UncappedTarget) {
				c.UncappedTarget = c.Target
			}
		}
	}
	return vpa, nil
}
