// Package clusterscaler is the room of cluster-scaler: it grows and shrinks node
// pools by one plan for the whole backlog, decided by the scheduler's own rules.
// The model of pools (cluster-scaler/nodepool), the simulated cluster (world,
// scheduling) and the plans (plan, made of scaleup, scaledown and expander) are
// pure; providers make and delete nodes, and its controller ties them together.
// It starts no pod and changes no workload's replicas.
package clusterscaler
