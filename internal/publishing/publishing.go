// Package publishing is what a publisher remembers from one turn to the next:
// which warnings it told of an object, so that one that goes on is not an event
// of every turn, and which objects are left to others. It writes no event and no
// status, and words no message.
package publishing

import (
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// repeatAfter is when a warning that goes on is told again.
const repeatAfter = 5 * time.Minute

// Warnings are those of each object's last turn, and when they were told. The
// zero value is ready to use. It is safe for concurrent use.
type Warnings[E comparable] struct {
	mu   sync.Mutex
	told map[decision.Unit]map[E]time.Time
}

// Fresh leaves out warnings that the unit's last turn gave too, until they are
// told again. Events that are no warnings are always told. now is the time of
// the decision.
func (w *Warnings[E]) Fresh(unit decision.Unit, events []E, now time.Time, warns func(E) bool) []E {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.told[unit]
	var after map[E]time.Time
	var out []E
	for _, e := range events {
		if !warns(e) {
			out = append(out, e)
			continue
		}
		at, known := before[e]
		if !known || now.Sub(at) >= repeatAfter {
			out, at = append(out, e), now
		}
		if after == nil {
			after = map[E]time.Time{}
		}
		after[e] = at
	}
	if after == nil {
		delete(w.told, unit)
		return out
	}
	if w.told == nil {
		w.told = map[decision.Unit]map[E]time.Time{}
	}
	w.told[unit] = after
	return out
}

// Forget drops a unit that is gone.
func (w *Warnings[E]) Forget(unit decision.Unit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.told, unit)
}

// LeftAlone are the objects that another controller acts on. The zero value is
// ready to use. It is safe for concurrent use.
type LeftAlone struct {
	mu    sync.Mutex
	units map[decision.Unit]bool
}

// Note keeps whether the unit was left alone at its last turn.
func (l *LeftAlone) Note(unit decision.Unit, left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !left:
		delete(l.units, unit)
	case l.units == nil:
		l.units = map[decision.Unit]bool{unit: true}
	default:
		l.units[unit] = true
	}
}

// Forget drops a unit that is gone.
func (l *LeftAlone) Forget(unit decision.Unit) { l.Note(unit, false) }

// Count is how many objects are left alone.
func (l *LeftAlone) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.units)
}
