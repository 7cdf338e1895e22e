// Package resize is the arithmetic of resizes in place: what the kubelet says of
// one, how long an attempt may take, which values a pod would be asked for, and
// whether its QoS class stays. It is pure, and decides about single pods only:
// which pods are updated, and in what order, is updater/eviction's.
package resize
