package controller

import (
	"cmp"
	"context"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	autoscalinginformers "k8s.io/client-go/informers/autoscaling/v2"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// hpaCache holds all HorizontalPodAutoscalers. What it returns is shared and
// must not be changed.
type hpaCache struct {
	informer cache.SharedIndexInformer
}

func newHPACache(client kubernetes.Interface) (*hpaCache, error) {
	informer := autoscalinginformers.NewHorizontalPodAutoscalerInformer(client, metav1.NamespaceAll, 0, cache.Indexers{
		byExternalMetric: externalMetrics, byWorkload: targetKeys,
	})
	if err := informer.SetTransform(reduceHPA); err != nil {
		return nil, err
	}
	return &hpaCache{informer: informer}, nil
}

func (c *hpaCache) run(ctx context.Context) { c.informer.RunWithContext(ctx) }

func (c *hpaCache) synced() bool { return c.informer.HasSynced() }

// get finds an object; nil where there is none.
func (c *hpaCache) get(namespace, name string) *autoscalingv2.HorizontalPodAutoscaler {
	o, found, err := c.informer.GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	hpa, _ := o.(*autoscalingv2.HorizontalPodAutoscaler)
	return hpa
}

// byExternalMetric finds objects by the external metrics that they name.
const byExternalMetric = "external-metric"

// externalMetrics are an object's keys in that index: each metric with the
// object's namespace, and without.
func externalMetrics(o any) ([]string, error) {
	hpa, ok := o.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		return nil, nil
	}
	var keys []string
	for i := range hpa.Spec.Metrics {
		if external := hpa.Spec.Metrics[i].External; external != nil {
			keys = append(keys, hpa.Namespace+"/"+external.Metric.Name, "/"+external.Metric.Name)
		}
	}
	return keys, nil
}

// found names the objects with a value in an index.
func (c *hpaCache) found(index, value string) []object {
	found, err := c.informer.GetIndexer().ByIndex(index, value)
	if err != nil {
		return nil
	}
	keys := make([]object, 0, len(found))
	for _, o := range found {
		if hpa, ok := o.(*autoscalingv2.HorizontalPodAutoscaler); ok {
			keys = append(keys, objectOf(hpa))
		}
	}
	return keys
}

// watch calls back for every object that is there, appears, has its spec edited or
// goes. Our own writes of its status are no reason to. Servers before 1.37 do not
// count generations.
func (c *hpaCache) watch(changed func(object)) (stop func(), err error) {
	return watchObjects(c.informer, "HorizontalPodAutoscalers", func(before, after *autoscalingv2.HorizontalPodAutoscaler) {
		if before == nil || after == nil || edited(before, after) {
			changed(objectOf(cmp.Or(after, before)))
		}
	})
}

func edited(was, is *autoscalingv2.HorizontalPodAutoscaler) bool {
	return was.Generation != is.Generation || was.UID != is.UID || !equality.Semantic.DeepEqual(was.Spec, is.Spec)
}

// reduceHPA keeps of the managed fields only who wrote the status and when.
func reduceHPA(o any) (any, error) {
	hpa, ok := o.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok || len(hpa.ManagedFields) == 0 {
		return o, nil
	}
	var kept []metav1.ManagedFieldsEntry
	for _, f := range hpa.ManagedFields {
		if f.Subresource == statusSubresource {
			kept = append(kept, metav1.ManagedFieldsEntry{Manager: f.Manager, Subresource: f.Subresource, Time: f.Time})
		}
	}
	hpa.ManagedFields = kept
	return hpa, nil
}
