// Package brokers runs the real servers that sources of metrics are tested
// against and that the demonstration's queue can live in: Redis, RabbitMQ,
// PostgreSQL, MariaDB, beanstalkd and Prometheus from the system's packages. Each
// server runs on a free port of loopback, with its data in a folder of its own,
// under a supervisor that leaves nothing behind, whatever becomes of the program
// that started it. The package speaks no protocol beyond what tells that a server
// is up, and installs nothing: hack/prepare does.
package brokers
