// Package natsjetstream reads the queue of one durable consumer of a NATS
// JetStream stream: what waits, what is delivered and not acknowledged, what was
// redelivered, the counters that rates are measured from and, where it is asked
// for, the age of the oldest message. It only ever asks for information: it
// creates, consumes and acknowledges nothing.
//
// What a user must be allowed: to publish to $JS.API.CONSUMER.INFO.<stream>.<consumer>
// (and $JS.API.STREAM.MSG.GET.<stream> for OldestAge), and to subscribe to _INBOX.>.
package natsjetstream
