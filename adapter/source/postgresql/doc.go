// Package postgresql reads one number by one statement that a PostgreSQL server
// runs in a read-only transaction. The server itself refuses what writes, ends
// the statement at the poll's timeout, and takes one statement only, by the
// extended protocol. Where the object names a channel, a connection of its own
// listens there and tells of changes.
//
// The package opens no transaction that could write and takes no value for a
// queue: what the number means is the statement's author's to know.
package postgresql
