package metricimport

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// authentication is what a trigger's authenticationRef leads to.
type authentication struct {
	// refs are the keys of Secrets by parameter; nil for a parameter that comes
	// from elsewhere.
	refs map[string]*v1alpha1.SecretKey
	// cluster is set where the Secrets are in KEDA's own namespace.
	cluster bool
	// unknown is set where the authentication is not among what was read.
	unknown bool
}

func (a authentication) has(name string) bool { _, ok := a.refs[name]; return ok }

// secret gives the key of a Secret that holds a parameter, and where the Secret
// is, where that is not the object's namespace.
func (a authentication) secret(name string) (ref v1alpha1.SecretKey, where string, ok bool) {
	key := a.refs[name]
	if key == nil {
		return v1alpha1.SecretKey{}, "", false
	}
	if a.cluster {
		where = " in KEDA's own namespace"
	}
	return *key, where, true
}

// authOf reads what a trigger refers to.
func (r *run) authOf(o *unstructured.Unstructured, path string, trigger map[string]any) authentication {
	ref, _, _ := unstructured.NestedMap(trigger, "authenticationRef")
	name, _ := ref["name"].(string)
	if name == "" {
		return authentication{}
	}
	kind, _ := ref["kind"].(string)
	a := authentication{refs: map[string]*v1alpha1.SecretKey{}, cluster: kind == "ClusterTriggerAuthentication"}
	key := o.GetNamespace() + "/" + name
	if a.cluster {
		key = "/" + name
	}
	found := r.auths[key]
	if found == nil {
		a.unknown = true
		r.note(o, path+".authenticationRef", FillIn, "%s is not among what was read: import it together with this, or write the credentials into the source", name)
		return a
	}
	spec, _, _ := unstructured.NestedMap(found.Object, "spec")
	for _, field := range slices.Sorted(maps.Keys(spec)) {
		switch field {
		case "secretTargetRef":
			r.secretRefs(found, spec[field], a.refs)
		default:
			a.others(spec[field])
			r.note(found, "spec."+field, NotMapped, "credentials come from Secrets only: have the value in one, and name it in the source")
		}
	}
	return a
}

func (r *run) secretRefs(o *unstructured.Unstructured, value any, refs map[string]*v1alpha1.SecretKey) {
	entries, _ := value.([]any)
	for i, entry := range entries {
		fields, _ := entry.(map[string]any)
		parameter, _ := fields["parameter"].(string)
		name, _ := fields["name"].(string)
		key, _ := fields["key"].(string)
		if parameter == "" || name == "" || key == "" {
			r.note(o, fmt.Sprintf("spec.secretTargetRef[%d]", i), NotMapped, "it needs parameter, name and key")
			continue
		}
		refs[parameter] = &v1alpha1.SecretKey{Name: name, Key: key}
	}
}

// others notes the parameters that come from elsewhere.
func (a authentication) others(value any) {
	entries, _ := value.([]any)
	for _, entry := range entries {
		fields, _ := entry.(map[string]any)
		if parameter, _ := fields["parameter"].(string); parameter != "" && !a.has(parameter) {
			a.refs[parameter] = nil
		}
	}
}
