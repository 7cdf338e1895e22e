package collector

import (
	"math/rand/v2"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

const (
	// pushGap is the least time between two polls that follow words of change: a
	// subject that changes all the time is polled so often and no oftener, and the
	// last word is always followed by a poll.
	pushGap = 50 * time.Millisecond
	// watchPause is the pause before a watch that ended is begun again, doubled
	// for each that ends soon after, up to watchPauseMax.
	watchPause    = time.Second
	watchPauseMax = 30 * time.Second
	// watchHeld is how long a watch lasts that counts as one that worked.
	watchHeld = 10 * time.Second
)

// watch has the system tell of changes until the poller is stopped. That it does
// not is no failure: the interval goes on meanwhile.
func (p *poller) watch(pusher source.Pusher, random *rand.Rand) {
	pause := watchPause
	for p.ctx.Err() == nil {
		began := p.cfg.Clock.Now()
		err := watch(p.ctx, pusher, p.changed)
		if p.ctx.Err() != nil {
			return
		}
		if p.cfg.Observer != nil {
			reason := "ended"
			if err != nil {
				reason, _ = source.ReasonOf(err)
			}
			p.cfg.Observer.WatchEnded(p.query.Kind(), reason)
		}
		if p.cfg.Clock.Since(began) >= watchHeld {
			pause = watchPause
		}
		if !sleep(p.ctx, p.cfg.Clock, spread(random, pause)) {
			return
		}
		pause = min(2*pause, watchPauseMax)
	}
}

// changed hears of a change.
func (p *poller) changed() {
	if p.cfg.Observer != nil {
		p.cfg.Observer.Pushed(p.query.Kind())
	}
	p.say(pushed)
}
