// Package v1alpha1 is the wire form of the news that a metric changed, served by
// the adapter beside its last decisions. It holds types, their copies and names;
// serving them is metricchanges', and so one who follows them need not link an
// API server.
package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	decisions "github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// Component names the group of decisions that changes are served in.
const Component = "adapter"

// Resource is the plural, Kind the kind.
const (
	Resource = "metricchanges"
	Kind     = "MetricChange"
)

// GroupVersion is where changes are served.
var GroupVersion = decisions.GroupVersion(Component)

// MetricChange is an external metric as it is served now: its metadata has the
// namespace and the name of the metric. Its resource version moves when the value
// changes, or when it becomes or ceases to be available, and not with each sample.
type MetricChange struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	State `json:",inline"`
}

// State is what is told of a metric.
type State struct {
	// Value is what a read gives, absent where it gives an error.
	Value *resource.Quantity `json:"value,omitempty"`
	// Reason says in one word why there is no value, empty where there is one.
	Reason string `json:"reason,omitempty"`
	// SampledAt is when the source measured, absent where it never did.
	SampledAt *metav1.MicroTime `json:"sampledAt,omitempty"`
	// SourceRef is the object that serves the metric.
	SourceRef SourceRef `json:"sourceRef"`
}

// SourceRef names a MetricSource or a ClusterMetricSource.
type SourceRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Tells tells whether going from one state to the other is news: a new time of
// the same value is none.
func (s State) Tells(next State) bool {
	if s.Reason != next.Reason || s.SourceRef != next.SourceRef || (s.Value == nil) != (next.Value == nil) {
		return true
	}
	return s.Value != nil && s.Value.Cmp(*next.Value) != 0
}

// DeepCopyInto copies the change into out.
func (c *MetricChange) DeepCopyInto(out *MetricChange) {
	*out = *c
	c.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	if c.Value != nil {
		value := c.Value.DeepCopy()
		out.Value = &value
	}
	out.SampledAt = c.SampledAt.DeepCopy()
}

// DeepCopyObject makes a MetricChange a runtime.Object.
func (c *MetricChange) DeepCopyObject() runtime.Object {
	if c == nil {
		return nil
	}
	out := new(MetricChange)
	c.DeepCopyInto(out)
	return out
}

// MetricChangeList is a list of changes.
type MetricChangeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MetricChange `json:"items"`
}

// DeepCopyObject makes a MetricChangeList a runtime.Object.
func (l *MetricChangeList) DeepCopyObject() runtime.Object {
	if l == nil {
		return nil
	}
	out := &MetricChangeList{TypeMeta: l.TypeMeta}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	if l.Items != nil {
		out.Items = make([]MetricChange, len(l.Items))
		for i := range l.Items {
			l.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
	return out
}

// AddToScheme registers the types.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &MetricChange{}, &MetricChangeList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	if err := scheme.AddFieldLabelConversionFunc(GroupVersion.WithKind(Kind), selectableField); err != nil {
		return fmt.Errorf("register the selectable fields of %s: %w", Kind, err)
	}
	return nil
}

// Fields are what a list and a watch can be selected by.
func (c *MetricChange) Fields() fields.Set {
	return fields.Set{"metadata.name": c.Name, "metadata.namespace": c.Namespace}
}

func selectableField(label, value string) (string, string, error) {
	if _, ok := (&MetricChange{}).Fields()[label]; !ok {
		return "", "", fmt.Errorf("%q is not one of the fields metadata.name, metadata.namespace", label)
	}
	return label, value, nil
}
