// Package formula computes one number from metrics that other MetricSources of
// the namespace serve, by an expression in CEL. It asks no system: it reads what
// is served already, and is told when that changes.
//
// A formula is never better than its inputs. Without a fresh value of each it has
// none, and its time is that of the oldest. It holds no value of its own, so it
// counts nothing and remembers nothing between two polls.
package formula
