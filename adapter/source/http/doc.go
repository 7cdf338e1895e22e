// Package httpsource reads one number from a document over HTTP: from JSON by a
// path, or from the OpenMetrics or Prometheus text formats by a series. The
// document is one URL's, or that of each Ready pod of a selector; then the number
// is an aggregate of the pods', and each pod's own is given beside it. It is no
// scraper: it keeps no history, sums no series, and asks for one document.
package httpsource
