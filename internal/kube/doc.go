// Package kube is how the loops meet the cluster's common objects: targets by
// their scale subresource, pods by label without a walk through the namespace,
// what a pod requests, and events. It caches and asks; it decides nothing and
// knows no component.
package kube
