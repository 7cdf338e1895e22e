// Package decisionapi serves the last decision of each unit as objects of an
// aggregated, read-only API group per component, so that explain and kubectl
// ask the controller itself, under the asker's own permissions. It keeps the
// last decision only, in memory: history is the ledger's. It renders decisions
// and computes no reason of its own.
//
// A component uses it so:
//
//	store := decisionapi.NewStore(decisionapi.StoreConfig{Component: "hpa", Kind: "HorizontalPodAutoscaler", Leading: elector.Leading})
//	err := decisionapi.InstallGroup(server, decisionapi.GroupName("hpa"), store)
//	// in the loop's Publisher:
//	store.Put(unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, outcome, d.Status) })
//	// when the object is gone:
//	store.Forget(unit)
package decisionapi

import (
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// The wire types and names, for those who serve them.
type (
	// Decision is a component's last decision on one unit.
	Decision = v1alpha1.Decision
	// DecisionList is a list of decisions.
	DecisionList = v1alpha1.DecisionList
)

// Version and Resource are the same in the group of every component.
const (
	Version  = v1alpha1.Version
	Resource = v1alpha1.Resource
)

// GroupName is the API group of a component's decisions, for example
// hpa.decisions.quartet.dev.
func GroupName(component string) string { return v1alpha1.GroupName(component) }

// Render makes the object of a decision and its outcome. Values of type V print
// by their String method or as fmt does; detail may be nil, else it is encoded
// as JSON. The store sets what identifies the object.
func Render[V, D any](d decision.Decision[V, D], outcome decision.Outcome, detail any) Decision {
	return v1alpha1.Render(d, outcome, detail)
}
