// Package externalgrpc asks servers that speak KEDA's externalscaler protocol, so
// that every external scaler that was written for KEDA gives metrics: the value
// of one metric (GetMetrics), whether there is anything to do (IsActive), and
// word of changes where the server sends it (StreamIsActive). It scales nothing
// and takes no target from the server (GetMetricSpec is asked for a metric's name
// only): targets are the HPA's.
package externalgrpc
