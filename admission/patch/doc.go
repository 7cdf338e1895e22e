// Package patch decides what a new pod is to request and be limited to, as a
// JSON patch (RFC 6902), from the recommendation of the VerticalPodAutoscaler
// that scales it. It is pure: the same pod and object give the same patch, and
// what is as wanted already is not patched again. It finds no object for a pod
// and serves nothing: that is admission/webhook's.
package patch
