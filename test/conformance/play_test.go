package conformance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// scenario is a world by its seed, and which of its turns the controllers see:
// they start after the first skip turns, and end after so many.
type scenario struct {
	seed        uint64
	skip, turns int
	// levelled hides from upstream that the count that exists is not the one asked
	// for, which is what the first of the listed differences comes from.
	levelled bool
}

// result is what came of a scenario.
type result struct {
	turns     int
	explained map[string]int
	// seen counts the turns by what happened in them.
	seen map[string]int
	// differences are those of the last turn, none where all were equal.
	differences []string
	world       string
	// surge and overflows tell of what the world had.
	surge, overflows bool
}

// play runs both controllers through a scenario, up to the first difference that
// is not explained.
func play(t *testing.T, s scenario) result {
	t.Helper()
	var r result
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), logr.Discard()))
		b := &bubble{t: t, ctx: ctx}
		defer b.running.Wait()
		defer cancel()
		r = b.play(s)
	})
	return r
}

// bubble is where both controllers run, in a time of their own.
type bubble struct {
	t       *testing.T
	ctx     context.Context
	running sync.WaitGroup
}

func (b *bubble) run(f func(context.Context) error) {
	b.running.Go(func() {
		if err := f(b.ctx); err != nil {
			b.t.Error(err)
		}
	})
}

// start makes both controllers, fills their caches, and lets them decide.
func (b *bubble) start(makers ...func(context.Context) (parts, error)) {
	b.t.Helper()
	var made []parts
	for _, maker := range makers {
		p, err := maker(b.ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		made = append(made, p)
		b.run(p.cache)
	}
	synctest.Wait()
	for _, p := range made {
		b.run(p.decide)
	}
}

func (b *bubble) play(s scenario) result {
	b.t.Helper()
	w := newWorld(s.seed, time.Now())
	w.step(s.seed, w.scale.manual, w.now)
	count := w.scale.manual
	for range s.skip {
		time.Sleep(period)
		w.step(s.seed, count, time.Now())
		if w.scale.manual >= 0 {
			count = w.scale.manual
		}
	}
	up, our := newSide(w, count), newSide(w, count)
	up.levelled = s.levelled
	b.start(up.upstream, our.ours)
	e := newExplainer(w)
	r := result{explained: e.explained, seen: map[string]int{}}
	for {
		// What is due at the turn's time happens, then half of a period passes.
		synctest.Wait()
		time.Sleep(period / 2)
		synctest.Wait()
		theirs, mine := up.look(), our.look()
		r.turns++
		mine.note(w, r.seen)
		if *trace {
			b.t.Logf("turn %d\n%s\n  ours:\n%s", w.turn, strings.Join(theirs.lines(), "\n"), strings.Join(mine.lines(), "\n"))
		}
		e.level(&theirs, &mine)
		if r.differences = diff(&theirs, &mine); r.differences != nil || w.turn >= s.turns {
			break
		}
		if err := next(w, s.seed, up, our); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(period / 2)
	}
	r.world = w.describe()
	r.overflows, r.surge = w.overflows, w.surge > 0
	return r
}

// next moves the world on by a turn, and both sides with it.
func next(w *world, seed uint64, up, our *side) error {
	before := uids(w)
	w.step(seed, up.count, time.Now())
	sides := []*side{up, our}
	for _, s := range sides {
		if err := s.follow(before); err != nil {
			return err
		}
	}
	synctest.Wait()
	if w.edited {
		for _, s := range sides {
			if err := s.edit(); err != nil {
				return err
			}
		}
		synctest.Wait()
	}
	return nil
}

func uids(w *world) map[string]types.UID {
	out := make(map[string]types.UID, len(w.pods))
	for name, pod := range w.pods {
		out[name] = pod.UID
	}
	return out
}

// judge plays a scenario. A difference that comes of pods beyond the count asked
// for is explained where there is none once upstream does not see these.
func judge(t *testing.T, s scenario) result {
	t.Helper()
	r := play(t, s)
	if len(r.differences) > 0 && r.surge {
		s.levelled = true
		if again := play(t, s); len(again.differences) == 0 || again.overflows {
			again.explained[headingSurge]++
			r = again
		}
	}
	if len(r.differences) > 0 && r.overflows {
		r.explained[headingOverflow]++
		r.differences = nil
	}
	return r
}

// shorten looks for the fewest turns that still differ: those after the difference
// go first, then those before, by halves.
func shorten(t *testing.T, s scenario, r result) (scenario, result) {
	t.Helper()
	s.turns = s.skip + r.turns
	for drop := (s.turns - s.skip) / 2; drop > 0; {
		shorter := s
		shorter.skip += drop
		if again := judge(t, shorter); len(again.differences) > 0 {
			s, r = shorter, again
			s.turns = s.skip + r.turns
			drop = min(drop, (s.turns-s.skip)/2)
			continue
		}
		drop /= 2
	}
	return s, r
}

// report is what a person needs to see of a difference.
func report(s scenario, r result) string {
	text := fmt.Sprintf("seed %d differs in turn %d; again: -seed %d -skip %d -turns %d\n%s- upstream, + ours:\n",
		s.seed, s.turns, s.seed, s.skip, s.turns, r.world)
	for _, line := range r.differences {
		text += line + "\n"
	}
	return text
}

// add counts what happened and what was explained.
func (r *result) add(o result) {
	r.turns += o.turns
	if r.explained == nil {
		r.explained, r.seen = map[string]int{}, map[string]int{}
	}
	for heading := range o.explained {
		r.explained[heading]++
	}
	for what, n := range o.seen {
		r.seen[what] += n
	}
}
