// Package collector polls sources: one poller for each distinct query, whoever
// asks for it and however many do. It keeps the newest good reading and the
// newest failure of each, and tells subscribers when there is something new. It
// judges nothing: what a reading is worth, and for how long, is decided in
// adapter/query.
//
// Each poller has a goroutine of its own, so that a slow or dead source delays
// no other. Reads never poll. A poller whose system tells of changes polls at each
// word of one, and by its interval as well. The queries of one server share its
// limits, and its circuit: while it does not answer, one poll at a time tries it.
// Where there are several replicas, each query has one of them to poll it, and the
// others take what it got (Sharing, Deliver); who is told nothing polls by itself.
package collector
