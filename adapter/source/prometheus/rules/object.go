package rules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// Kind is a kind of objects that series of a rule are about.
type Kind struct {
	Resource
	// Label names the object.
	Label string
}

// namespaces is the kind whose objects' names are namespaces.
var namespaces = Resource{Plural: "namespaces"}

// NamespaceLabel is the label that holds the namespace, false where a rule has
// none.
func (r *Rule) NamespaceLabel() (string, bool) { return r.labels.namespace, r.labels.namespace != "" }

// Kinds are the kinds of objects that series with these labels are about, in the
// order of the labels, and each object of a namespace is in namespace, where one is
// given. What an override names and the cluster does not have is an error; a label
// that only looks like a kind's is not.
func (r *Rule) Kinds(seriesLabels []string, namespace string, mapper Mapper) ([]Kind, error) {
	seriesLabels = slices.Sorted(slices.Values(seriesLabels))
	var kinds []Kind
	var faults []error
	for _, label := range slices.Compact(seriesLabels) {
		resource, ok, err := r.resource(label, mapper)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("label %s: %w", label, err))
		case !ok:
		case namespace != "" && !resource.Namespaced:
			// Who may write an object of a namespace must not speak of what is outside.
		case resource.Namespaced && !slices.Contains(seriesLabels, r.labels.namespace):
			faults = append(faults, fmt.Errorf("label %s names %s, and no label names their namespace", label, resource.Plural))
		default:
			kinds = append(kinds, Kind{Resource: resource, Label: label})
		}
	}
	return kinds, errors.Join(faults...)
}

func (r *Rule) resource(label string, mapper Mapper) (Resource, bool, error) {
	if override, ok := r.labels.overrides[label]; ok {
		if isNamespaces(override.Group, override.Resource) {
			return namespaces, true, nil
		}
		resource, known, err := mapper.Resource(override.Group, override.Resource)
		if _, blind := mapper.(Builtin); blind && !known {
			// Only a cluster could tell more: the object is taken at its word.
			return Resource{Group: override.Group, Plural: override.Resource, Namespaced: true}, true, nil
		}
		if err == nil && !known {
			err = fmt.Errorf("the cluster has no resource %s", strings.TrimSuffix(override.Resource+"."+override.Group, "."))
		}
		return resource, known && err == nil, err
	}
	name, ok := r.labels.named(label)
	switch {
	case !ok:
		return Resource{}, false, nil
	case isNamespaces(name.Group, name.Resource):
		return namespaces, true, nil
	}
	return mapper.Resource(name.Group, name.Resource)
}

// By are the labels that a result for a kind must keep.
func (r *Rule) By(kind Kind) []string {
	var by []string
	if kind.Namespaced {
		by = append(by, r.labels.namespace)
	}
	for _, label := range append([]string{kind.Label}, r.Labels...) {
		if !slices.Contains(by, label) {
			by = append(by, label)
		}
	}
	return by
}

// Query writes the query for the objects of a kind, those of one namespace where
// one is given.
func (r *Rule) Query(series string, kind Kind, namespace string) (string, error) {
	a := arguments{Series: series, GroupBySlice: r.By(kind), LabelValuesByName: map[string]string{}}
	a.GroupBy = strings.Join(a.GroupBySlice, ",")
	var matchers []string
	if kind.Namespaced {
		matchers, a.LabelValuesByName[r.labels.namespace] = []string{r.labels.namespace + `!=""`}, ".+"
		if namespace != "" {
			// A namespace's name has no character that an expression would take for more.
			matchers[0] = r.labels.namespace + "=" + strconv.Quote(namespace)
			a.LabelValuesByName[r.labels.namespace] = namespace
		}
	}
	matchers = append(matchers, kind.Label+`!=""`)
	a.LabelValuesByName[kind.Label] = ".+"
	a.LabelMatchers = strings.Join(matchers, ",")
	return r.query.render(a)
}

// Why a result is about no object that a rule may speak of.
var (
	ErrUnlabelled = errors.New("results lack the label that names the object or its namespace: use <<.GroupBy>>")
	ErrForeign    = errors.New("results are about objects of other namespaces: use <<.LabelMatchers>>")
)

// Object reads which object a result is about, by its labels; the value and its
// times are the caller's to add.
func (r *Rule) Object(kind Kind, resultLabels map[string]string, namespace string) (query.ObjectValue, error) {
	v := query.ObjectValue{Group: kind.Group, Resource: kind.Plural, Name: resultLabels[kind.Label]}
	if kind.Namespaced {
		v.Namespace = resultLabels[r.labels.namespace]
		if v.Namespace == "" {
			// Of one namespace, and the query need not say of which.
			v.Namespace = namespace
		}
	}
	switch {
	case v.Name == "" || (kind.Namespaced && v.Namespace == ""):
		return query.ObjectValue{}, ErrUnlabelled
	case namespace != "" && v.Namespace != namespace:
		return query.ObjectValue{}, ErrForeign
	}
	for _, label := range r.Labels {
		if value := resultLabels[label]; value != "" {
			if v.Labels == nil {
				v.Labels = make(map[string]string, len(r.Labels))
			}
			v.Labels[label] = value
		}
	}
	return v, nil
}
