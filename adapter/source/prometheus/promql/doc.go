// Package promql takes queries apart: which series a query selects, so that the
// time of their data can be asked for, and what a selector says, so that it can be
// narrowed. Prometheus' own parser does the reading. The package evaluates nothing
// and asks no server.
package promql
