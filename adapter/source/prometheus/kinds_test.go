package prometheus_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
)

func TestClusterKinds(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Group: "metrics.k8s.io", Version: "v1beta1", Kind: "Pod"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Node"}, meta.RESTScopeRoot)
	mapper.Add(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}, meta.RESTScopeRoot)
	kinds := prometheus.ClusterKinds{Mapper: mapper}
	for name, test := range map[string]struct {
		group, resource string
		want            rules.Resource
		known           bool
	}{
		"singular":           {"", "pod", rules.Resource{Plural: "pods", Namespaced: true}, true},
		"plural":             {"", "pods", rules.Resource{Plural: "pods", Namespaced: true}, true},
		"of a group":         {"metrics.k8s.io", "pod", rules.Resource{Group: "metrics.k8s.io", Plural: "pods", Namespaced: true}, true},
		"of the cluster":     {"", "node", rules.Resource{Plural: "nodes"}, true},
		"of any group":       {"", "widget", rules.Resource{Group: "example.com", Plural: "widgets"}, true},
		"of no such group":   {"example.org", "widget", rules.Resource{}, false},
		"of no such cluster": {"", "gadgets", rules.Resource{}, false},
	} {
		got, known, err := kinds.Resource(test.group, test.resource)
		if err != nil || known != test.known || got != test.want {
			t.Errorf("%s: %+v, %t, %v; want %+v, %t", name, got, known, err, test.want, test.known)
		}
	}
}
