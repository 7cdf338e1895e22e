package peer

import (
	"sync"
	"time"
)

const (
	// breakAfter is how many failures in a row open the circuit.
	breakAfter = 3
	// brokenFor is how long a peer is then left alone.
	brokenFor = 10 * time.Second
)

// breaker leaves a peer alone that does not answer, so that those who ask for its
// metrics are told at once. An answer that says no is an answer.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time
	// trying: one request is under way to see whether the peer is back.
	trying bool
	// last is the newest failure, kept after the peer came back, and at its time.
	last error
	at   time.Time
}

// allow tells whether the peer may be asked at the time now, and if not, why not.
// Who is allowed has to call done or abandon.
func (b *breaker) allow(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failures < breakAfter:
		return nil
	case now.Before(b.until) || b.trying:
		return b.last
	}
	b.trying = true
	return nil
}

// done tells how a request went: nil where the peer answered.
func (b *breaker) done(now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	if err == nil {
		b.failures = 0
		return
	}
	b.last, b.at = err, now
	if b.failures++; b.failures >= breakAfter {
		b.until = now.Add(brokenFor)
	}
}

// abandon ends a request that says nothing about the peer: the caller left.
func (b *breaker) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}

// state gives the failures in a row and the time of the newest, which is the
// error.
func (b *breaker) state() (failures int, at time.Time, last error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures, b.at, b.last
}
