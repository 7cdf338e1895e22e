package decisionapi

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

// columns are what kubectl get prints; those of priority 1 only with -o wide.
var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the unit that was decided on."},
	{Name: "From", Type: "string", Description: "The value in force."},
	{Name: "To", Type: "string", Description: "The value wanted."},
	{Name: "Reason", Type: "string", Description: "Why the value wanted is what it is, in one word."},
	{Name: "Age", Type: "string", Description: "Time since the decision."},
	{Name: "Message", Type: "string", Description: "Why the value wanted is what it is, in a sentence."},
	{Name: "Outcome", Type: "string", Priority: 1, Description: "What became of the action."},
	{Name: "Build", Type: "string", Priority: 1, Description: "Version that decided."},
}

// ConvertToTable makes what kubectl get prints.
func (s *storage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		table.ColumnDefinitions = columns
	}
	switch o := object.(type) {
	case *Decision:
		table.ResourceVersion = o.ResourceVersion
		table.Rows = []metav1.TableRow{s.row(o)}
	case *DecisionList:
		table.ListMeta = o.ListMeta
		for i := range o.Items {
			table.Rows = append(table.Rows, s.row(&o.Items[i]))
		}
	default:
		return nil, fmt.Errorf("no table of %T", object)
	}
	return table, nil
}

func (s *storage) row(d *Decision) metav1.TableRow {
	age := "<unknown>"
	if !d.At.IsZero() {
		age = duration.HumanDuration(s.store.cfg.Clock.Since(d.At.Time))
	}
	return metav1.TableRow{
		Cells:  []any{d.Name, d.From, d.To, d.Reason, age, d.Message, string(d.Outcome.Result), d.BuildVersion},
		Object: runtime.RawExtension{Object: d},
	}
}
