// Package v1alpha1 holds the suite's own API types, group
// autoscaling.quartet.dev, version v1alpha1, and the constants of their
// conditions. The CRDs of the chart are generated from it, so a description
// here is what `kubectl explain` prints. It holds no behavior and no defaulting
// in Go: defaults and validation are in the schemas, by CEL where one field is
// not enough. It depends on apimachinery and k8s.io/api only, so that anyone
// can import it.
//
// Where a kind or a field says that no binary of this version serves it, the
// schema is there so that names agree and objects can be drafted; nothing acts
// on it.
//
// +kubebuilder:object:generate=true
// +groupName=autoscaling.quartet.dev
package v1alpha1
