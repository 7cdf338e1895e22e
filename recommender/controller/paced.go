package controller

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// pacedConfig is what a paced writer is made of.
type pacedConfig[K comparable] struct {
	// write writes what is named, as it is at that time.
	write func(ctx context.Context, key K) error
	// perSecond bounds all writes, tries that fail included.
	perSecond float64
	// spread is the time over which writes that are not urgent are spread.
	spread time.Duration
	// workers is how many writes may be under way at the same time.
	workers int
}

// paced writes what it is told of at a bounded rate, whatever the number: the
// urgent first, the rest in the order in which it came and evenly. What is named
// again while it waits is written once, as it is then. What fails is tried again
// until it is withdrawn.
type paced[K comparable] struct {
	pacedConfig[K]
	limit *rate.Limiter
	news  chan struct{}

	mu      sync.Mutex
	waiting map[K]*wait[K]
	// urgent and usual are in the order of writing. An entry that is no longer
	// waiting, or has become urgent, is passed over.
	urgent, usual []*wait[K]
	// usuals is how many of the usual do wait.
	usuals int
	// last is when one was last written that was not urgent, apart the time until
	// the next one.
	last  time.Time
	apart time.Duration
}

type wait[K comparable] struct {
	key    K
	urgent bool
	// tries are those that failed.
	tries int
	// taken tells that it does not wait any more, at this place at least.
	taken bool
}

const (
	// longestGap is how far apart writes are at most, however few there are.
	longestGap = time.Second
	// firstRetry and lastRetry are how long a write that failed waits.
	firstRetry, lastRetry = time.Second, time.Minute
)

func newPaced[K comparable](c pacedConfig[K]) *paced[K] {
	return &paced[K]{pacedConfig: c, news: make(chan struct{}, 1), waiting: map[K]*wait[K]{},
		// A tenth of a second's worth at once: what is urgent is mostly alone.
		limit: rate.NewLimiter(rate.Limit(c.perSecond), max(1, int(c.perSecond/10)))}
}

// add names what is to be written.
func (p *paced[K]) add(key K, urgent bool) { p.queue(&wait[K]{key: key, urgent: urgent}) }

func (p *paced[K]) queue(w *wait[K]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.waiting[w.key]; have != nil {
		if have.urgent || !w.urgent {
			return
		}
		p.take(have)
	}
	p.waiting[w.key] = w
	if w.urgent {
		p.urgent = append(p.urgent, w)
	} else {
		p.usual = append(p.usual, w)
		p.usuals++
		p.apart = min(longestGap, p.spread/time.Duration(p.usuals))
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// take takes an entry out of those that wait.
func (p *paced[K]) take(w *wait[K]) {
	w.taken = true
	delete(p.waiting, w.key)
	if !w.urgent {
		p.usuals--
	}
}

// withdraw forgets what was to be written, and tells whether it waited.
func (p *paced[K]) withdraw(key K) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.waiting[key]
	if w != nil {
		p.take(w)
	}
	return w != nil
}

// count is how many wait.
func (p *paced[K]) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// run writes until the context ends, and then what still waits until the last
// one's does, or all is written.
func (p *paced[K]) run(ctx, last context.Context) {
	var working sync.WaitGroup
	work := make(chan *wait[K])
	for range p.workers {
		working.Go(func() {
			for w := range work {
				p.do(last, w)
			}
		})
	}
	for w := p.next(ctx); w != nil; w = p.next(ctx) {
		work <- w
	}
	for w := p.pop(true); w != nil && p.limit.Wait(last) == nil; w = p.pop(true) {
		work <- w
	}
	close(work)
	working.Wait()
}

func (p *paced[K]) do(ctx context.Context, w *wait[K]) {
	err := p.write(ctx, w.key)
	if err == nil || ctx.Err() != nil {
		return
	}
	telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write, will try again", slog.Any("error", err))
	delay := min(firstRetry<<min(w.tries, 10), lastRetry)
	again := &wait[K]{key: w.key, urgent: w.urgent, tries: w.tries + 1}
	time.AfterFunc(delay, func() { p.queue(again) })
}

// next waits until something is to be written; nil once the context has ended.
func (p *paced[K]) next(ctx context.Context) *wait[K] {
	for ctx.Err() == nil {
		delay, any := p.delay(time.Now())
		switch {
		case any && delay <= 0:
			if p.limit.Wait(ctx) != nil {
				return nil
			}
			if w := p.pop(false); w != nil {
				return w
			}
		case any:
			timer := time.NewTimer(delay)
			select {
			case <-ctx.Done():
			case <-p.news:
			case <-timer.C:
			}
			timer.Stop()
		default:
			select {
			case <-ctx.Done():
			case <-p.news:
			}
		}
	}
	return nil
}

// delay is how long to wait for the next write; false where there is none.
func (p *paced[K]) delay(now time.Time) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > p.usuals {
		return 0, true
	}
	return p.last.Add(p.apart).Sub(now), p.usuals > 0
}

// pop takes what is to be written next. Unless all may go, one that is not urgent
// waits for its time.
func (p *paced[K]) pop(all bool) *wait[K] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := first(&p.urgent); w != nil {
		p.take(w)
		return w
	}
	now := time.Now()
	if !all && now.Before(p.last.Add(p.apart)) {
		return nil
	}
	w := first(&p.usual)
	if w != nil {
		p.take(w)
		p.last = now
	}
	return w
}

// first removes the first that still waits.
func first[K comparable](queue *[]*wait[K]) *wait[K] {
	for len(*queue) > 0 {
		w := (*queue)[0]
		(*queue)[0] = nil
		if *queue = (*queue)[1:]; len(*queue) == 0 {
			*queue = nil
		}
		if !w.taken {
			return w
		}
	}
	return nil
}
