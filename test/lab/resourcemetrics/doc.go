// Package resourcemetrics serves metrics.k8s.io/v1beta1 from memory, for
// benchmarks of what asks it: the usage of any number of pods is set, not scraped,
// and may change while it is served. It answers discovery, GET and LIST of pods, in
// JSON and in protobuf as the API machinery does, and counts what it was asked.
//
// What it is not: metrics-server. It knows no nodes and no watches, scrapes nobody,
// and takes every client that shows a certificate of the front proxy's authority.
package resourcemetrics
