// Package v1alpha1 is the wire form of a decision, in the API groups that
// decisionapi serves. It holds types, their copies and names; serving them is
// decisionapi's, and so a reader need not link an API server.
package v1alpha1

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Version and Resource are the same in the group of every component.
const (
	Version  = "v1alpha1"
	Resource = "decisions"
)

// GroupName is the API group of a component's decisions, for example
// hpa.decisions.quartet.dev.
func GroupName(component string) string { return component + ".decisions.quartet.dev" }

// GroupVersion is the API group and version of a component's decisions.
func GroupVersion(component string) schema.GroupVersion {
	return schema.GroupVersion{Group: GroupName(component), Version: Version}
}

// Decision is a component's last decision on one unit and what became of it.
// Its metadata has the name and namespace of the unit.
type Decision struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Component made the decision, for example "hpa".
	Component string `json:"component"`
	// BuildVersion is the version of the component's build.
	BuildVersion string        `json:"buildVersion"`
	Unit         decision.Unit `json:"unit"`
	// At is the time of the input that was decided on.
	At metav1.MicroTime `json:"at"`
	// From is the value in force and To the value wanted, in the component's
	// unit: replicas for "hpa".
	From string `json:"from"`
	To   string `json:"to"`
	// Act tells whether the change was to be carried out.
	Act     bool   `json:"act"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// Steps are the whole explanation, in the order of the rules.
	Steps      []decision.Step      `json:"steps,omitempty"`
	Faults     []decision.Fault     `json:"faults,omitempty"`
	Conditions []decision.Condition `json:"conditions,omitempty"`
	Outcome    decision.Outcome     `json:"outcome"`
	// Detail is what the component adds, in its own form.
	Detail *runtime.RawExtension `json:"detail,omitempty"`
}

// DecisionList is a list of decisions.
type DecisionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Decision `json:"items"`
}

// Render makes the object of a decision and its outcome. Values of type V print
// by their String method or as fmt does; detail may be nil, else it is encoded
// as JSON. The store sets what identifies the object.
func Render[V, D any](d decision.Decision[V, D], outcome decision.Outcome, detail any) Decision {
	return Decision{
		Component:    d.Component,
		BuildVersion: buildinfo.Get().Version,
		Unit:         d.Unit,
		At:           metav1.NewMicroTime(d.At),
		From:         fmt.Sprint(d.From),
		To:           fmt.Sprint(d.To),
		Act:          d.Act,
		Reason:       d.Reason,
		Message:      d.Message,
		Steps:        d.Steps,
		Faults:       d.Faults,
		Conditions:   d.Conditions,
		Outcome:      outcome,
		Detail:       encode(detail),
	}
}

func encode(detail any) *runtime.RawExtension {
	if detail == nil {
		return nil
	}
	raw, err := json.Marshal(detail)
	if err != nil {
		// The decision is still worth reading without its detail.
		raw, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return &runtime.RawExtension{Raw: raw}
}

// DeepCopyInto copies the decision into out.
func (d *Decision) DeepCopyInto(out *Decision) {
	*out = *d
	d.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	d.At.DeepCopyInto(&out.At)
	out.Steps = slices.Clone(d.Steps)
	out.Faults = slices.Clone(d.Faults)
	out.Conditions = slices.Clone(d.Conditions)
	out.Detail = d.Detail.DeepCopy()
}

// DeepCopyObject makes a Decision a runtime.Object.
func (d *Decision) DeepCopyObject() runtime.Object {
	if d == nil {
		return nil
	}
	out := new(Decision)
	d.DeepCopyInto(out)
	return out
}

// DeepCopyObject makes a DecisionList a runtime.Object.
func (l *DecisionList) DeepCopyObject() runtime.Object {
	if l == nil {
		return nil
	}
	out := &DecisionList{TypeMeta: l.TypeMeta}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	if l.Items != nil {
		out.Items = make([]Decision, len(l.Items))
		for i := range l.Items {
			l.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
	return out
}

// AddToScheme registers the two types under a component's group and version.
func AddToScheme(scheme *runtime.Scheme, component string) error {
	gv := GroupVersion(component)
	scheme.AddKnownTypes(gv, &Decision{}, &DecisionList{})
	metav1.AddToGroupVersion(scheme, gv)
	kind := gv.WithKind("Decision")
	if err := scheme.AddFieldLabelConversionFunc(kind, selectableField); err != nil {
		return fmt.Errorf("register the selectable fields of %s: %w", gv, err)
	}
	return nil
}

// Fields are what a list can be selected by.
func (d *Decision) Fields() fields.Set {
	return fields.Set{
		"metadata.name":      d.Name,
		"metadata.namespace": d.Namespace,
		"unit.kind":          d.Unit.Kind,
		"reason":             d.Reason,
		"act":                strconv.FormatBool(d.Act),
		"outcome":            string(d.Outcome.Result),
	}
}

// selectableField accepts the names that Fields gives.
func selectableField(label, value string) (string, string, error) {
	if _, ok := (&Decision{}).Fields()[label]; !ok {
		return "", "", fmt.Errorf("%q is not one of the fields metadata.name, metadata.namespace, unit.kind, reason, act, outcome", label)
	}
	return label, value, nil
}
