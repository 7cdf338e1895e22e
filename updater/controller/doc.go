// Package controller is the shell of vpa-updater: it watches
// VerticalPodAutoscalers, the pods of their targets and what controls these,
// gathers what a decision needs, resizes pods in place, evicts through the
// eviction API so that disruption budgets hold, and shows decisions as events, logs, metrics and last
// decisions. Which pods to update, and how, is the business of updater/eviction; this
// package holds no rule and computes no reason.
package controller
