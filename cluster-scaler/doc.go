// Package clusterscaler is the room of cluster-scaler: it will grow and shrink
// node pools by one plan for the whole backlog, decided by the scheduler's own
// rules. The model of pools (cluster-scaler/nodepool) and the plans (scheduling,
// scaleup, scaledown, expander) will be pure; providers make and delete nodes,
// and its controller ties them together. It starts no pod and changes no
// workload's replicas. No binary of this version serves it.
package clusterscaler
