package collector

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// word is why a poller looks up before its next poll is due.
type word uint8

const (
	// sooner: a wait has become too long.
	sooner word = 1 << iota
	// pushed: the system told of a change.
	pushed
	// reopened: the server answers again.
	reopened
	// shared: another replica told of the query, or it may have come to another
	// owner.
	shared
)

// turns is when a poller does something. Between its turns it has no goroutine: a
// stack for each of thousands of pollers that wait would be most of the memory.
type turns struct {
	mu sync.Mutex
	// running tells that a turn runs; it takes up words left meanwhile.
	running bool
	words   word
	timer   clock.Timer // of the next turn; nil before the first

	// Of the turn that runs alone.

	// due is when the next poll is, began when the last one began.
	due, began time.Time
	watching   sync.WaitGroup
}

// start begins the polling.
func (p *poller) start() {
	t := &p.turns
	if pusher, ok := p.source.(source.Pusher); ok {
		t.watching.Go(func() { p.watch(pusher, randomOf(p.query, 1)) })
	}
	t.began = p.cfg.Clock.Now()
	t.due = t.began.Add(time.Duration(p.random.Int64N(int64(firstSpread))))
	if !p.mine() {
		t.due = p.due(t.began)
	}
	p.say(0)
}

// say leaves a word, and begins a turn where none runs. It may be called at any
// time, by anyone.
func (p *poller) say(w word) {
	t := &p.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	t.words |= w
	if t.running {
		return
	}
	t.running = true
	if t.timer != nil {
		t.timer.Stop()
	}
	go p.turn()
}

// turn polls where that is due and sleeps until it is again, or until a word is
// left. The turn of a poller that was stopped closes it and is the last: it never
// ends running.
func (p *poller) turn() {
	t := &p.turns
	for p.ctx.Err() == nil {
		p.heed(p.heard())
		if p.cfg.Clock.Now().Before(t.due) {
			if p.rest() {
				return
			}
			continue
		}
		t.began = p.cfg.Clock.Now()
		p.poll()
		t.due = p.due(t.began)
	}
	t.watching.Wait()
	p.source.Close()
}

// heard takes the words that were left.
func (p *poller) heard() word {
	t := &p.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	words := t.words
	t.words = 0
	return words
}

// heed moves the next poll by what was said.
func (p *poller) heed(words word) {
	t := &p.turns
	if words&shared != 0 {
		t.due = p.due(t.began)
	}
	if words&sooner != 0 {
		t.due = earlier(t.due, p.due(t.began))
	}
	if words&pushed != 0 && p.mine() {
		t.due = earlier(t.due, t.began.Add(p.pushGap()))
	}
	if words&reopened != 0 && p.mine() && p.standing() == doubtful {
		t.due = earlier(t.due, p.cfg.Clock.Now())
	}
}

// rest ends the turn until the next poll is due; false where a word was left
// meanwhile, and the turn goes on.
func (p *poller) rest() bool {
	t := &p.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.words != 0 || p.ctx.Err() != nil {
		return false
	}
	t.running = false
	wait := t.due.Sub(p.cfg.Clock.Now())
	if t.timer == nil {
		t.timer = p.cfg.Clock.AfterFunc(wait, func() { p.say(0) })
	} else {
		t.timer.Reset(wait)
	}
	return true
}

// stop ends the polling, and a poll under way.
func (p *poller) stop() {
	p.cancel()
	p.say(0)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
