package draft

import (
	"context"
	"fmt"
	"io/fs"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/api/crds"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// kindSchema is all that a CRD says of its objects.
type kindSchema struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *schemacel.Validator
}

// admit does to an object what the cluster does before it stores it: it takes
// unknown fields for errors, fills in defaults, and applies the schema and its
// rules.
func (k *kindSchema) admit(object map[string]any) field.ErrorList {
	var errs field.ErrorList
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(object, k.structural, true, options) {
		errs = append(errs, field.Forbidden(field.NewPath(path), "no such field"))
	}
	defaulting.Default(object, k.structural)
	errs = append(errs, validation.ValidateCustomResource(nil, object, k.schema)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, object)...)
	if len(errs) > 0 {
		return errs // no rule is applied to an object of the wrong shape
	}
	ruleErrs, _ := k.rules.Validate(context.Background(), nil, k.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, ruleErrs...)
}

// schemas are those of the CRDs that the program was built with, by kind.
var schemas = sync.OnceValues(func() (map[string]*kindSchema, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	files, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		return nil, err
	}
	kinds := map[string]*kindSchema{}
	for _, file := range files {
		raw, err := crds.Files.ReadFile(file)
		if err != nil {
			return nil, err
		}
		kind, k, err := loadSchema(scheme, raw)
		if err != nil {
			return nil, fmt.Errorf("read the CRD %s: %w", file, err)
		}
		kinds[kind] = k
	}
	return kinds, nil
})

func loadSchema(scheme *runtime.Scheme, raw []byte) (string, *kindSchema, error) {
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &v1); err != nil {
		return "", nil, err
	}
	scheme.Default(&v1)
	crd := &apiextensions.CustomResourceDefinition{}
	if err := scheme.Convert(&v1, crd, nil); err != nil {
		return "", nil, err
	}
	openAPI, err := apiextensions.GetSchemaForVersion(crd, v1alpha1.GroupVersion.Version)
	if err != nil {
		return "", nil, err
	}
	structural, err := schema.NewStructural(openAPI.OpenAPIV3Schema)
	if err != nil {
		return "", nil, err
	}
	validator, _, err := validation.NewSchemaValidator(openAPI.OpenAPIV3Schema)
	if err != nil {
		return "", nil, err
	}
	return crd.Spec.Names.Kind, &kindSchema{
		structural: structural, schema: validator,
		rules: schemacel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}
