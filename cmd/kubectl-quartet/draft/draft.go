// Package draft reads objects from files and checks sources of metrics as the
// cluster would: by the schema and the rules of the CRDs that the program was
// built with, defaults filled in. It asks no cluster and no source.
package draft

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Read gives the objects of a text of YAML or JSON documents; the members of a
// List are objects of their own. Empty documents are passed over.
func Read(text []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for n := 1; ; n++ {
		raw, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		content, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if len(content) == 0 {
			continue
		}
		object := &unstructured.Unstructured{Object: content}
		if !object.IsList() {
			out = append(out, object)
			continue
		}
		members, ok := content["items"].([]any)
		if !ok {
			return nil, fmt.Errorf("document %d: items is no list", n)
		}
		for i, member := range members {
			fields, ok := member.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("document %d: items[%d] is no object", n, i)
			}
			out = append(out, &unstructured.Unstructured{Object: fields})
		}
	}
}

// decode reads one document, with whole numbers as such and no key twice.
func decode(raw []byte) (map[string]any, error) {
	asJSON, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, err
	}
	var content map[string]any
	if err := utiljson.Unmarshal(asJSON, &content); err != nil {
		return nil, errors.New("it is no object")
	}
	return content, nil
}

// IsSource tells whether an object is a source of metrics.
func IsSource(o *unstructured.Unstructured) bool {
	gvk := o.GroupVersionKind()
	return gvk.Group == v1alpha1.GroupVersion.Group && (gvk.Kind == "MetricSource" || gvk.Kind == "ClusterMetricSource")
}

// Invalid is what the cluster would refuse of an object.
type Invalid struct {
	// Object is "Kind name".
	Object string
	// Problems name a field each, by its path, and say what is wrong.
	Problems []string
	// Rules are the same without the values, which may be anything.
	Rules []string
}

func (e *Invalid) Error() string {
	return fmt.Sprintf("%s is not valid:\n  %s", e.Object, strings.Join(e.Problems, "\n  "))
}

// Source checks a MetricSource or a ClusterMetricSource and gives it with its
// defaults. The error is an *Invalid where the cluster would refuse the object.
// The argument stays as it is.
func Source(o *unstructured.Unstructured) (client.Object, error) {
	kinds, err := schemas()
	if err != nil {
		return nil, err
	}
	called := strings.TrimSpace(o.GetKind() + " " + o.GetName())
	k, known := kinds[o.GetKind()]
	if gv := o.GroupVersionKind().GroupVersion(); !known || gv != v1alpha1.GroupVersion {
		return nil, &Invalid{Object: called, Problems: []string{fmt.Sprintf("apiVersion, kind: this version checks MetricSource and ClusterMetricSource of %s only", v1alpha1.GroupVersion)}}
	}
	object := o.DeepCopy()
	invalid := &Invalid{Object: called}
	if object.GetName() == "" {
		invalid.Problems = append(invalid.Problems, "metadata.name: Required value")
	}
	for _, err := range k.admit(object.Object) {
		invalid.Problems = append(invalid.Problems, err.Error())
		invalid.Rules = append(invalid.Rules, strings.TrimSuffix(err.Field+": "+err.Detail, ": "))
	}
	if len(invalid.Problems) > 0 {
		return nil, invalid
	}
	return typed(object)
}

func typed(o *unstructured.Unstructured) (client.Object, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	empty, err := scheme.New(o.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(o.Object)
	if err == nil {
		err = json.Unmarshal(raw, empty)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return empty.(client.Object), nil
}
