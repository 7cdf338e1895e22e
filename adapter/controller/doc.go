// Package controller is the shell around adapter/query: it watches
// MetricSources and ClusterMetricSources, has their queries polled, runs a turn of the loop whenever an
// object or a poll says something new, publishes what was decided to the serving
// table, and shows it in status and events. It computes no value and no reason.
//
// Every replica does all of this but one thing: status and events are written by
// the leader alone. Nothing in the way from a source to a serving read waits for
// a leader or for the API server.
//
// What it must be allowed: to get, list and watch metricsources and
// clustermetricsources, to patch their status, to get secrets, to list and watch
// namespaces where a ClusterMetricSource chooses by their labels, and to create and patch events of
// events.k8s.io.
package controller
