// Package rabbitmq reads one queue of a RabbitMQ broker, or all queues whose names
// match a pattern, summed up. Over AMQP it asks for what is ready, by a passive
// declaration, which makes nothing. Over the management API it reads what is ready
// and what is unacknowledged, the counters that rates are measured from, and the
// age of the oldest message where its publisher wrote a time on it. It creates,
// consumes and acknowledges nothing.
//
// AMQP does not tell what is unacknowledged, so no depth is made of it: work under
// way would count as none.
package rabbitmq
