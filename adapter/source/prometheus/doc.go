// Package prometheus asks Prometheus servers, and others that speak their API: one
// instant query whose result is the value of a metric, or rules that make custom
// metrics about Kubernetes objects of the series that a server has. A sample
// carries the time of the data that the query read, and not that of the query.
//
// It writes nothing to a server. What a user must be allowed: to read /api/v1/query,
// and for rules also /api/v1/labels and /api/v1/label/__name__/values.
package prometheus
