package prometheus

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
)

// ClusterKinds tells rules what kinds of objects a cluster has. It is a
// rules.Mapper.
type ClusterKinds struct{ Mapper meta.RESTMapper }

// Resource finds a kind by a name in the plural or in the singular; see
// rules.Mapper.
func (k ClusterKinds) Resource(group, name string) (rules.Resource, bool, error) {
	found, err := k.Mapper.ResourcesFor(schema.GroupVersionResource{Group: group, Resource: name})
	switch {
	case meta.IsNoMatchError(err) || (err == nil && len(found) == 0):
		return rules.Resource{}, false, nil
	case err != nil:
		return rules.Resource{}, false, fmt.Errorf("looking for resource %s: %w", name, err)
	}
	resource := found[0]
	for _, r := range found {
		// metrics.k8s.io has pods too, and nobody means those.
		if r.Group == group {
			resource = r
			break
		}
	}
	kind, err := k.Mapper.KindFor(resource)
	if err != nil {
		return rules.Resource{}, false, fmt.Errorf("looking for the kind of %s: %w", name, err)
	}
	mapping, err := k.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return rules.Resource{}, false, fmt.Errorf("looking for the scope of %s: %w", name, err)
	}
	return rules.Resource{
		Group: resource.Group, Plural: resource.Resource, Namespaced: mapping.Scope.Name() == meta.RESTScopeNameNamespace,
	}, true, nil
}
