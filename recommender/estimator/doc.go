// Package estimator holds the rules of the VPA recommender: how usage and kills
// for memory become history, and how history becomes a recommendation within
// bounds, with every step named. It is pure: the shell gathers a Snapshot and
// carries out a Decision. Where nothing is said of a difference, the numbers are
// those of the upstream recommender, to the last unit.
package estimator
