package collector

import (
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

const (
	// opensAfter is how many polls of a server fail in a row before the others
	// are held back.
	opensAfter = 5
	// probeEvery is the least time between two tries of a server that did not
	// answer.
	probeEvery = MinInterval
)

// standing tells what a query knows of its server: whether its own newest poll
// got an answer. Each standing has one try at a time while a circuit is open, so
// that queries that the server does answer are not held back by those that it
// does not.
type standing int

const (
	doubtful standing = iota
	trusted
	standings
)

// circuit holds polls of a server back that did not answer several times in a
// row: one poll at a time tries until one is answered. It has no lock of its own
// and no clock.
type circuit struct {
	// server is for messages.
	server string
	// failed counts polls without an answer since the last one with.
	failed int
	// first is the first of them.
	first *source.Error
	// trying are the tries under way, tried when the last one began.
	trying [standings]bool
	tried  time.Time
}

func (c *circuit) open() bool { return c.failed >= opensAfter }

// refusal says why a poll is not made now, nil where it may be.
func (c *circuit) refusal(now time.Time, s standing) *source.Error {
	if !c.open() || (!c.trying[s] && (s == trusted || now.Sub(c.tried) >= probeEvery)) {
		return nil
	}
	return source.Errorf(c.first.Reason,
		"%s did not answer several polls in a row, so one at a time tries until one is answered; the first failure: %s",
		c.server, c.first.Message)
}

// begin takes note of a poll that is not refused. It tells whether the poll is a
// try, which is to be handed to end or abandon.
func (c *circuit) begin(now time.Time, s standing) (try bool) {
	if !c.open() {
		return false
	}
	c.trying[s] = true
	if s == doubtful {
		c.tried = now
	}
	return true
}

// abandon ends a poll of which nothing came that says anything of the server.
func (c *circuit) abandon(s standing, try bool) {
	if try {
		c.trying[s] = false
	}
}

// end tells what came of a poll. It gives true where the circuit was open and is
// no longer.
func (c *circuit) end(s standing, try bool, err error) (reopened bool) {
	c.abandon(s, try)
	if answered(err) {
		reopened = c.open()
		c.failed, c.first = 0, nil
		return reopened
	}
	if c.first == nil {
		reason, message := source.ReasonOf(err)
		c.first = source.Errorf(reason, "%s", message)
	}
	c.failed++
	return false
}

// answered tells whether the server was there, whatever it said.
func answered(err error) bool {
	if err == nil {
		return true
	}
	reason, _ := source.ReasonOf(err)
	return reason != source.ReasonUnreachable && reason != source.ReasonTimeout
}
