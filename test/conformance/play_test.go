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
	// healed is what upstream is spared.
	healed healed
	// stage makes the world in place of the seed, nil for none.
	stage func(now time.Time) *world
	// watch sees all views before anything is explained, nil for nobody.
	watch func(object string, theirs, mine view)
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
	if s.stage != nil {
		w = s.stage(time.Now())
	}
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
	up.healed = s.healed
	b.start(up.theirs, our.ours)
	r := result{explained: map[string]int{}, seen: map[string]int{}}
	main, other := newExplainer(w, s.healed, r.explained), newExplainer(w, s.healed, r.explained)
	explainers := both{main, other}
	before := count
	for {
		// What is due at the turn's time happens, then half of a period passes.
		synctest.Wait()
		time.Sleep(period / 2)
		synctest.Wait()
		r.turns++
		r.note(w)
		for object, e := range explainers.each {
			theirs, mine := up.look(object), our.look(object)
			r.noteView(w, object, &mine, before)
			if *trace {
				b.t.Logf("turn %d, %s\n%s\n  ours:\n%s", w.turn, object, strings.Join(theirs.lines(), "\n"), strings.Join(mine.lines(), "\n"))
			}
			if s.watch != nil {
				s.watch(object, theirs.clone(), mine.clone())
			}
			e.level(&theirs, &mine)
			for _, line := range diff(&theirs, &mine) {
				r.differences = append(r.differences, line[:1]+" "+object+line[1:])
			}
		}
		if r.differences != nil && s.watch == nil || w.turn >= s.turns {
			break
		}
		before = our.seen[name].count
		next(w, s.seed, up, our)
		if w.scale.manual >= 0 {
			before = w.scale.manual
		}
		if w.life == lifeAnew || w.life == lifeBack {
			main.anew()
		}
		if w.rivalBorn == w.turn {
			other.anew()
		}
		time.Sleep(backAfter)
		up.comeBack()
		our.comeBack()
		time.Sleep(rivalAfter - backAfter)
		up.bearRival()
		our.bearRival()
		time.Sleep(rivalEndsAfter - rivalAfter)
		up.endRival()
		our.endRival()
		time.Sleep(period/2 - rivalEndsAfter)
	}
	r.world = w.describe()
	return r
}

// both are the explainers of the two objects.
type both struct{ main, other *explainer }

func (b both) each(yield func(string, *explainer) bool) {
	_ = yield(name, b.main) && yield(rivalName, b.other)
}

// How long after an edit an object that was deleted comes back, and the other HPA
// comes and goes. What comes has its turns once a period from then on: at no time
// at which anything else happens, or it would depend on luck what comes first.
const (
	backAfter      = 500 * time.Millisecond
	rivalAfter     = 2500 * time.Millisecond
	rivalEndsAfter = 4500 * time.Millisecond
)

// next moves the world on by a turn, and both sides with it.
func next(w *world, seed uint64, up, our *side) {
	before := uids(w)
	w.step(seed, up.seen[name].count, time.Now())
	sides := []*side{up, our}
	for _, s := range sides {
		s.follow(before)
	}
	synctest.Wait()
	for _, s := range sides {
		s.renew()
	}
	synctest.Wait()
}

func uids(w *world) map[string]types.UID {
	out := make(map[string]types.UID, len(w.pods))
	for name, pod := range w.pods {
		out[name] = pod.UID
	}
	return out
}

// counterfactuals are the defects that upstream can be spared, by the headings
// that list them.
var counterfactuals = map[string]func(*healed) *bool{
	headingSurge:    func(h *healed) *bool { return &h.surge },
	headingOverflow: func(h *healed) *bool { return &h.overflow },
	headingAnew:     func(h *healed) *bool { return &h.memory },
	headingLaidOver: func(h *healed) *bool { return &h.conflict },
}

// judge plays a scenario. Where it differs it is played again, upstream spared
// what is listed: nothing may differ then. A heading explains it where it differs
// without that one.
func judge(t *testing.T, s scenario) result {
	t.Helper()
	r := play(t, s)
	if len(r.differences) == 0 {
		return r
	}
	s.healed = healed{surge: true, overflow: true, memory: true, conflict: true}
	again := play(t, s)
	if len(again.differences) > 0 {
		return again
	}
	for heading, part := range counterfactuals {
		without := s
		*part(&without.healed) = false
		if len(play(t, without).differences) > 0 {
			again.explained[heading]++
		}
	}
	return again
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
