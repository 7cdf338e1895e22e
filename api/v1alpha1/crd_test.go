package v1alpha1_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

const (
	crdDir     = "../../deploy/helm/quartet/files/crds"
	exampleDir = "../../deploy/examples"
)

// kindSchema does to an object what the apiserver does before it stores it.
type kindSchema struct {
	crd        *apiextensions.CustomResourceDefinition
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *schemacel.Validator
}

// admit prunes, defaults and validates an object as a create would, or as an
// update of old where there is one. What would be pruned is an error, as under
// strict field validation.
func (k *kindSchema) admit(obj, old map[string]any) field.ErrorList {
	var errs field.ErrorList
	pruned := pruning.PruneWithOptions(obj, k.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range pruned {
		errs = append(errs, field.Invalid(field.NewPath(path), nil, "unknown field"))
	}
	defaulting.Default(obj, k.structural)
	errs = append(errs, validation.ValidateCustomResource(nil, obj, k.schema)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, obj)...)
	if len(errs) > 0 {
		return errs // the apiserver checks no rules on an object of the wrong shape
	}
	var oldValue any
	if old != nil {
		defaulting.Default(old, k.structural)
		oldValue = old
	}
	ruleErrs, _ := k.rules.Validate(context.Background(), nil, k.structural, obj, oldValue, celconfig.RuntimeCELCostBudget)
	return append(errs, ruleErrs...)
}

func loadSchemas(t *testing.T) map[string]*kindSchema {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	files, err := filepath.Glob(filepath.Join(crdDir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs in %s (%v): run make generate", crdDir, err)
	}
	kinds := map[string]*kindSchema{}
	for _, file := range files {
		kind := loadSchema(t, scheme, file)
		kinds[kind.crd.Spec.Names.Kind] = kind
	}
	return kinds
}

func loadSchema(t *testing.T, scheme *runtime.Scheme, file string) *kindSchema {
	t.Helper()
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(readFile(t, file), &v1); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	scheme.Default(&v1)
	crd := &apiextensions.CustomResourceDefinition{}
	if err := scheme.Convert(&v1, crd, nil); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	// The apiserver itself adds the stored versions to a new object.
	crd.Status.StoredVersions = []string{v1alpha1.GroupVersion.Version}
	openAPI, err := apiextensions.GetSchemaForVersion(crd, v1alpha1.GroupVersion.Version)
	if err != nil || openAPI == nil {
		t.Fatalf("%s: no schema for %s: %v", file, v1alpha1.GroupVersion.Version, err)
	}
	structural, err := schema.NewStructural(openAPI.OpenAPIV3Schema)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	schemaValidator, _, err := validation.NewSchemaValidator(openAPI.OpenAPIV3Schema)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return &kindSchema{
		crd: crd, structural: structural, schema: schemaValidator,
		rules: schemacel.NewValidator(structural, true, celconfig.PerCallLimit),
	}
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestCRDsAreAccepted runs the apiserver's own validation of a CRD, which also
// bounds what its rules may cost.
func TestCRDsAreAccepted(t *testing.T) {
	for kind, k := range loadSchemas(t) {
		t.Run(kind, func(t *testing.T) {
			for _, err := range crdvalidation.ValidateCustomResourceDefinition(context.Background(), k.crd) {
				t.Error(err)
			}
		})
	}
}

// TestCRDsMatchTheScheme finds a kind that is registered and has no CRD, or has
// one and is not registered, and a CRD without what `kubectl get` needs.
func TestCRDsMatchTheScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kinds := loadSchemas(t)
	for kind := range scheme.KnownTypes(v1alpha1.GroupVersion) {
		own := !strings.HasSuffix(kind, "List") && !strings.HasSuffix(kind, "Options") && kind != "WatchEvent"
		if own && kinds[kind] == nil {
			t.Errorf("%s is registered and has no CRD", kind)
		}
	}
	for kind, k := range kinds {
		if !scheme.Recognizes(v1alpha1.GroupVersion.WithKind(kind)) {
			t.Errorf("%s has a CRD and is not registered", kind)
		}
		if len(k.crd.Spec.Versions[0].AdditionalPrinterColumns) == 0 && len(k.crd.Spec.AdditionalPrinterColumns) == 0 {
			t.Errorf("%s has no printer columns", kind)
		}
		if got := k.crd.Spec.Names.Categories; len(got) != 1 || got[0] != "quartet" {
			t.Errorf("%s: categories %v, want [quartet]", kind, got)
		}
	}
}

// TestValidObjects admits the examples that are shipped and those of testdata,
// and decodes them strictly into the Go types.
func TestValidObjects(t *testing.T) {
	kinds := loadSchemas(t)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, dir := range []string{exampleDir, "testdata/valid"} {
		for name, docs := range readDocuments(t, dir) {
			t.Run(name, func(t *testing.T) {
				for _, raw := range docs {
					obj := decode(t, raw)
					if obj.GroupVersionKind().GroupVersion() != v1alpha1.GroupVersion {
						continue
					}
					seen[obj.GetKind()] = true
					for _, err := range kinds[obj.GetKind()].admit(obj.Object, nil) {
						t.Error(err)
					}
					typed, err := scheme.New(obj.GroupVersionKind())
					if err != nil {
						t.Fatal(err)
					}
					if err := yaml.UnmarshalStrict(raw, typed); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("no valid object of kind %s in %s or testdata/valid", kind, exampleDir)
		}
	}
}

// TestZeroValuesAreDefaulted holds Go clients to account: an object made in Go
// with only what is required must be admitted, so no zero value may be written
// where the schema has a default.
func TestZeroValuesAreDefaulted(t *testing.T) {
	source := &v1alpha1.MetricSource{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricSource"},
		ObjectMeta: metav1.ObjectMeta{Name: "orders", Namespace: "shop"},
		Spec: v1alpha1.MetricSourceSpec{
			Source: v1alpha1.Source{NATSJetStream: &v1alpha1.NATSJetStreamSource{
				Servers: []string{"nats://nats:4222"}, Stream: "ORDERS", Consumer: "workers",
			}},
			Metrics: []v1alpha1.SourceMetric{{Name: "orders_depth", Value: v1alpha1.ValueDepth}},
		},
	}
	obj, err := runtime.DefaultUnstructuredConverter.ToUnstructured(source)
	if err != nil {
		t.Fatal(err)
	}
	if errs := loadSchemas(t)["MetricSource"].admit(obj, nil); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	for _, name := range []string{"pollInterval", "timeout", "maxAge"} {
		if _, found, _ := unstructured.NestedString(obj, "spec", name); !found {
			t.Errorf("spec.%s was not defaulted", name)
		}
	}
}

func decode(t *testing.T, raw []byte) *unstructured.Unstructured {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(asJSON); err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return obj
}

// readDocuments gives the YAML documents of each file of a folder.
func readDocuments(t *testing.T, dir string) map[string][][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][][]byte{}
	for _, file := range files {
		var docs [][]byte
		for _, doc := range strings.Split("\n"+string(readFile(t, file)), "\n---\n") {
			if strings.TrimSpace(doc) != "" {
				docs = append(docs, []byte(doc))
			}
		}
		all[filepath.Base(file)] = docs
	}
	return all
}
