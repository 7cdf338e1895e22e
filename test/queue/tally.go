package queue

import "sync"

// Tally knows what became of every message, by its number from 0.
type Tally struct {
	mu       sync.Mutex
	done     []bool
	early    map[int]bool
	consumed int
	repeated int
	peak     int
	onChange func(depth int)
}

// NewTally makes a Tally that calls onChange, where it is not nil, with the
// depth after each message produced or consumed for the first time. The calls
// come one at a time and in order.
func NewTally(onChange func(depth int)) *Tally {
	return &Tally{onChange: onChange, early: map[int]bool{}}
}

// Counts is the state of a Tally.
type Counts struct {
	// Produced counts messages that the broker has accepted.
	Produced int
	// Consumed counts messages that were worked on and acknowledged, each once.
	Consumed int
	// Repeated counts messages that were acknowledged again after a redelivery.
	Repeated int
	// Peak is the greatest depth seen.
	Peak int
}

// Depth is the number of messages not done with.
func (c Counts) Depth() int { return c.Produced - c.Consumed }

// Produce counts the next message, which the broker has accepted.
func (t *Tally) Produce() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.done)
	t.done = append(t.done, t.early[n])
	if t.early[n] {
		delete(t.early, n)
		t.consumed++
	}
	t.changed()
}

// Next is the number for the next message.
func (t *Tally) Next() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.done)
}

// Consume counts the acknowledgement of message n. A message may be done with
// before its producer has heard that it was accepted; it counts once both are
// known.
func (t *Tally) Consume(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case n >= len(t.done) && !t.early[n]:
		t.early[n] = true
		return
	case n >= len(t.done) || t.done[n]:
		t.repeated++
		return
	}
	t.done[n] = true
	t.consumed++
	t.changed()
}

// Counts is a snapshot of the counts.
func (t *Tally) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts()
}

func (t *Tally) counts() Counts {
	return Counts{Produced: len(t.done), Consumed: t.consumed, Repeated: t.repeated, Peak: t.peak}
}

func (t *Tally) changed() {
	depth := t.counts().Depth()
	t.peak = max(t.peak, depth)
	if t.onChange != nil {
		t.onChange(depth)
	}
}
