// Package sqlvalue turns the reply to one SQL statement into one gauge and the
// time at which it was measured, by the same rules for every database: exactly
// one row and one column, with a second column for the time of measuring where
// the statement gives one. It also says which statements are not run at all. It
// opens no connection and knows no database's protocol.
package sqlvalue
