// Package rules reads the rules by which series become custom metrics about
// Kubernetes objects: which series, under what name, by what query, and which of
// their labels names what object. Their templates are those of prometheus-adapter,
// so that its configurations can be taken over. The package is pure: it asks no
// server, and a Mapper tells it what kinds of objects there are.
package rules
