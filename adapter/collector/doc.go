// Package collector polls sources: one poller for each distinct query, whoever
// asks for it and however many do. It keeps the newest good reading and the
// newest failure of each, and tells subscribers when there is something new. It
// judges nothing: what a reading is worth, and for how long, is decided in
// adapter/query.
//
// Each poller has a goroutine of its own, so that a slow or dead source delays
// no other. Reads never poll.
package collector
