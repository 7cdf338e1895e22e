// Package mysql reads one number by one statement that a MySQL or a MariaDB
// server runs in a read-only transaction. The server itself refuses what writes
// and ends the statement at the poll's timeout; several statements in one are not
// taken. These servers tell nobody of changes, so the source is polled only.
//
// The package opens no transaction that could write and takes no value for a
// queue: what the number means is the statement's author's to know.
package mysql
