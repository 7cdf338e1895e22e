// Package queue is the real queue of the demo and the end-to-end tests: one of
// several message brokers with one queue on it, a producer whose rate follows a
// curve, and a tally of every message. It is no part of the product and knows
// nothing of Kubernetes.
package queue
