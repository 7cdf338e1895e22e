// Package beanstalkd reads one tube of a beanstalkd server: the jobs that are
// ready, reserved, delayed and buried, and the counters that rates are measured
// from. It asks for statistics and nothing else: it uses and watches no tube, and
// reserves and deletes no job.
//
// It has a small client of its own for the two commands that it needs, since the
// protocol is a line of text, and what exists was made for producers and workers.
package beanstalkd
