package controller

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	for _, other := range o.found(byWorkload, key) {
		if other != own {
			out = append(out, other.kind+" "+other.Name)
		}
	}
	slices.Sort(out)
	return out
}
