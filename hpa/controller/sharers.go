package controller

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// byWorkload finds objects by what they scale.
const byWorkload = "workload"

// targetKey names a target within its namespace. Its API version does not matter,
// its group does.
func targetKey(hpa *autoscalingv2.HorizontalPodAutoscaler) string {
	ref := &hpa.Spec.ScaleTargetRef
	group := ""
	if version, err := schema.ParseGroupVersion(ref.APIVersion); err == nil {
		group = version.Group
	}
	return hpa.Namespace + "/" + group + "/" + ref.Kind + "/" + ref.Name
}

func targetKeys(o any) ([]string, error) {
	hpa, ok := o.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok || hpa.Spec.ScaleTargetRef.Name == "" {
		return nil, nil
	}
	return []string{targetKey(hpa)}, nil
}

// sharing names the other objects, of both kinds, that scale what the object
// scales: "HorizontalPodAutoscaler api".
func (o *objects) sharing(hpa *autoscalingv2.HorizontalPodAutoscaler) []string {
	key, own := targetKey(hpa), objectOf(hpa)
	var out []string
	for _, other := range append(o.hpas.targeting(key), o.scalers.targeting(key)...) {
		if other != own {
			out = append(out, other.kind+" "+other.Name)
		}
	}
	slices.Sort(out)
	return out
}

func (c *hpaCache) targeting(key string) []object {
	found, err := c.informer.GetIndexer().ByIndex(byWorkload, key)
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

func (c *scalerCache) targeting(key string) []object {
	if c == nil {
		return nil
	}
	var keys []object
	for _, o := range c.ByIndex(byWorkload, key) {
		if scaler, ok := o.(*v1alpha1.HorizontalScaler); ok {
			keys = append(keys, objectOf(asHPA(scaler)))
		}
	}
	return keys
}
