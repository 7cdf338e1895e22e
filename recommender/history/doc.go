// Package history reads what pods used in the past from Prometheus, as the
// upstream recommender does with --storage=prometheus: the same queries, labels
// and ways to prove who asks. What is made of it is in estimator; checkpoints,
// the other place for history, are in checkpoint.
package history
