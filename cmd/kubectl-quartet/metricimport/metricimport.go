// Package metricimport turns the objects by which other adapters are told what to
// serve into ours: a configuration of prometheus-adapter, and KEDA's ScaledObjects
// with their TriggerAuthentications. It reads values and writes values: no file,
// no cluster, and no type of either project. What it cannot say in our objects it
// says in notes, field by field, so that nothing is lost in silence.
package metricimport

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Level says what a note asks of its reader.
type Level string

// The levels.
const (
	// FillIn: a value is not in what was read, and stands open in what was made.
	FillIn Level = "FillIn"
	// NotMapped: there is no counterpart, and what it did is lost.
	NotMapped Level = "NotMapped"
	// Changed: there is a counterpart that does not do quite the same.
	Changed Level = "Changed"
)

// Note is what is to be known about one field.
type Note struct {
	// Object is "Kind namespace/name" of what was read.
	Object string `json:"object"`
	// Field is its path there.
	Field string `json:"field"`
	Level Level  `json:"level"`
	Why   string `json:"why"`
}

// Options are what the objects do not say.
type Options struct {
	// Namespace is that of objects that name none.
	Namespace string
	// PrometheusURL is the server of a configuration of prometheus-adapter.
	PrometheusURL string
	// ScaleToZero writes minReplicas 0, for clusters that admit it.
	ScaleToZero bool
	// Check tells what a cluster would refuse of a source of metrics; nil checks
	// nothing.
	Check func(*unstructured.Unstructured) error
}

// Result is what came of an import.
type Result struct {
	Objects []*unstructured.Unstructured
	Notes   []Note
}

// Run converts all that it knows of the objects, in their order.
func Run(objects []*unstructured.Unstructured, options Options) Result {
	r := &run{options: options, auths: map[string]*unstructured.Unstructured{}}
	for _, o := range objects {
		if o.GetNamespace() == "" && o.GetKind() != "ClusterTriggerAuthentication" {
			o.SetNamespace(options.Namespace)
		}
		switch o.GetKind() {
		case "TriggerAuthentication":
			r.auths[o.GetNamespace()+"/"+o.GetName()] = o
		case "ClusterTriggerAuthentication":
			r.auths["/"+o.GetName()] = o
		case "Deployment":
			r.readDeployment(o)
		}
	}
	for _, o := range objects {
		r.convert(o)
	}
	slices.SortStableFunc(r.out.Notes, func(a, b Note) int { return cmp.Compare(a.Object, b.Object) })
	return r.out
}

// run is one import under way.
type run struct {
	options Options
	// auths are authentications by "namespace/name", of the cluster by "/name".
	auths map[string]*unstructured.Unstructured
	out   Result
}

func (r *run) convert(o *unstructured.Unstructured) {
	group, _, _ := strings.Cut(o.GetAPIVersion(), "/")
	switch kind := o.GetKind(); {
	case group == "keda.sh" && kind == "ScaledObject":
		r.scaledObject(o)
	case group == "keda.sh" && (kind == "TriggerAuthentication" || kind == "ClusterTriggerAuthentication"):
		// Read where it is referred to.
	case group == "keda.sh":
		r.note(o, "kind", NotMapped, "a %s starts Jobs, and nothing of ours does", kind)
	case kind == "ConfigMap":
		r.configMap(o)
	case kind == "" && o.GetAPIVersion() == "":
		if !r.adapterConfig(o, "prometheus-adapter", "", o.Object) {
			r.out.Notes = append(r.out.Notes, Note{"a document without a kind", "", NotMapped, "it is no configuration of prometheus-adapter: it has no rules"})
		}
	}
}

func called(o *unstructured.Unstructured) string {
	kind, name := o.GetKind(), o.GetName()
	if kind == "" {
		return "prometheus-adapter's configuration"
	}
	if o.GetNamespace() != "" && kind != "ClusterTriggerAuthentication" {
		name = o.GetNamespace() + "/" + name
	}
	return strings.TrimSpace(kind + " " + name)
}

func (r *run) note(o *unstructured.Unstructured, field string, level Level, format string, args ...any) {
	if n := (Note{called(o), field, level, fmt.Sprintf(format, args...)}); !slices.Contains(r.out.Notes, n) {
		r.out.Notes = append(r.out.Notes, n)
	}
}

// add puts out an object of ours that was made of a field; where a cluster would
// refuse it, a note in its place.
func (r *run) add(from *unstructured.Unstructured, field string, o client.Object) bool {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		r.note(from, field, NotMapped, "it cannot be written: %v", err)
		return false
	}
	made := &unstructured.Unstructured{Object: fields}
	unstructured.RemoveNestedField(made.Object, "status")
	unstructured.RemoveNestedField(made.Object, "metadata", "creationTimestamp")
	if r.options.Check != nil {
		if err := r.options.Check(made); err != nil {
			r.note(from, field, NotMapped, "what it says is more than a %s can: %v", made.GetKind(), err)
			return false
		}
	}
	r.out.Objects = append(r.out.Objects, made)
	return true
}
