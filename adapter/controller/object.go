package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// The kinds of the loop's units. A key without a namespace is one of the whole
// cluster.
const (
	unitKind        = "MetricSource"
	clusterUnitKind = "ClusterMetricSource"
)

// object is a MetricSource or a ClusterMetricSource: they differ in where they
// are served and where their Secrets are, and in nothing else.
type object struct {
	client.Object
	kind   string
	spec   *v1alpha1.MetricSourceSpec
	status *v1alpha1.MetricSourceStatus
	// selector chooses the namespaces of a ClusterMetricSource; nil: all.
	selector *metav1.LabelSelector
}

// viewOf makes the object of either kind; nil for anything else.
func viewOf(o any) *object {
	switch o := o.(type) {
	case *v1alpha1.MetricSource:
		return &object{Object: o, kind: unitKind, spec: &o.Spec, status: &o.Status}
	case *v1alpha1.ClusterMetricSource:
		return &object{
			Object: o, kind: clusterUnitKind, spec: &o.Spec.MetricSourceSpec, status: &o.Status,
			selector: o.Spec.NamespaceSelector,
		}
	}
	return nil
}

func (o *object) key() types.NamespacedName { return client.ObjectKeyFromObject(o.Object) }

func (o *object) unit() decision.Unit {
	return decision.Unit{Kind: o.kind, Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID())}
}

// copied is a deep copy, to be changed.
func (o *object) copied() *object {
	return viewOf(o.DeepCopyObject())
}

// namespaces is the selector of the namespaces that are served, as text; empty
// where all are, and for objects of one namespace.
func (o *object) namespaces() (string, error) {
	if o.selector == nil {
		return "", nil
	}
	selector, err := metav1.LabelSelectorAsSelector(o.selector)
	if err != nil {
		return "", source.Errorf(source.ReasonInvalid, "namespaceSelector: %v", err)
	}
	return selector.String(), nil
}

// read gives an object; nil where there is none, or it is being deleted.
func read(ctx context.Context, objects client.Reader, key types.NamespacedName) (*object, error) {
	var o client.Object = &v1alpha1.MetricSource{}
	if key.Namespace == "" {
		o = &v1alpha1.ClusterMetricSource{}
	}
	err := objects.Get(ctx, key, o)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get %s %s: %w", viewOf(o).kind, nameOf(key), err)
	case o.GetDeletionTimestamp() != nil:
		return nil, nil
	}
	return viewOf(o), nil
}

// list gives the MetricSources of a namespace, or the ClusterMetricSources where
// it is empty, that the options choose.
func list(ctx context.Context, objects client.Reader, namespace string, options ...client.ListOption) ([]*object, error) {
	var out []*object
	if namespace == "" {
		var found v1alpha1.ClusterMetricSourceList
		if err := objects.List(ctx, &found, options...); err != nil {
			return nil, fmt.Errorf("list ClusterMetricSources: %w", err)
		}
		for i := range found.Items {
			out = append(out, viewOf(&found.Items[i]))
		}
		return out, nil
	}
	var found v1alpha1.MetricSourceList
	if err := objects.List(ctx, &found, append(options, client.InNamespace(namespace))...); err != nil {
		return nil, fmt.Errorf("list MetricSources: %w", err)
	}
	for i := range found.Items {
		out = append(out, viewOf(&found.Items[i]))
	}
	return out, nil
}

// holders are the objects that compete for a metric name: those of the
// namespace, or those of the whole cluster where it is empty.
func holders(ctx context.Context, objects client.Reader, namespace, metric string) ([]*object, error) {
	return list(ctx, objects, namespace, client.MatchingFields{metricNameIndex: metric})
}

// nameOf is "namespace/name", or "name" of the whole cluster.
func nameOf(key types.NamespacedName) string {
	if key.Namespace == "" {
		return key.Name
	}
	return key.String()
}
