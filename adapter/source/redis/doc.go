// Package redis reads the length of a Redis list, or a stream as one of its
// consumer groups sees it: what waits, what is delivered and not acknowledged,
// the counters that rates are measured from and, where it is asked for, the age
// of the oldest entry. It finds the server by itself: one server, the master that
// sentinels name, or the master of a cluster that holds the key. It reads from
// masters alone, and writes, takes and acknowledges nothing.
//
// What is read in one poll is read in one transaction, so that its numbers
// belong together. Where the object asks for it the package also listens to the
// server's keyspace events, and tells of a change at once.
package redis
