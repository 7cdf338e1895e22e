// Package metricchanges tells which external metric changed: a read-only resource
// of the adapter's own group that is got, listed and watched like any other, so
// that the cluster authenticates and authorizes those who follow it and kubectl
// can. It keeps the present state of each metric and no history: a watcher that
// falls behind is told the newest of each metric it missed, in memory that is
// bounded by the number of metrics. It judges no value; what is told is what the
// adapter gave to Store.Set.
package metricchanges

import "github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"

// The wire types and names, for those who serve them.
type (
	// MetricChange is a metric as it is served now.
	MetricChange = v1alpha1.MetricChange
	// MetricChangeList is a list of changes.
	MetricChangeList = v1alpha1.MetricChangeList
	// State is what is told of a metric.
	State = v1alpha1.State
)
