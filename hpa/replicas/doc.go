// Package replicas decides how many replicas the target of one
// HorizontalPodAutoscaler should have. Decide turns a Snapshot and a State into
// a Decision; Commit folds what came of it into the next State; Render gives the
// status and the events that show both. It is pure: it asks no API, knows no
// clock, and changes none of its arguments. How fast a count may change is the
// business of hpa/behavior, and talking to the cluster that of hpa/controller.
package replicas
