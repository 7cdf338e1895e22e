// Package controller is the shell of the cluster scaler: it watches nodes, pods
// and budgets, gathers what a plan needs, carries plans out on nodes, pods and
// providers, and shows them as status, events, logs, metrics and the last
// decision. What to do is the business of cluster-scaler/plan; this package
// holds no rule and computes no reason. Whatever it begins it writes into the
// cluster first, so that another process can finish or undo it.
package controller
