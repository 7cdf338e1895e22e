package conformance

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// seldom is after what time we tell of a warning again.
const seldom = 5 * time.Minute

// warnings are those of one object's last turn, and when ours told of them: what
// ours would tell of upstream's events. A text that names any one of some is the
// same as another that names another.
type warnings struct {
	told map[told]time.Time
	// named are texts that name any one of some, and when ours told of them.
	named map[told]time.Time
	// refusals are the refused changes that ours told of.
	refusals []event
}

type told struct{ reason, message string }

func keyOf(e event) told { return told{e.reason, inOrder(e.message)} }

// levelEvents takes out of upstream's events the warnings that go on, turn by turn.
// What is left has to be ours, one by one.
func levelEvents(e *explainer, up, our *view) bool {
	all := up.events
	up.events = nil
	for _, at := range up.turns() {
		up.events = append(up.events, e.fresh(at, all)...)
	}
	fewer := len(up.events) < len(all)
	e.levelNamed(all, up, our)
	inTurn(up.events)
	inTurn(our.events)
	return fewer
}

// fresh are the events of the turn that are not told already.
func (e *explainer) fresh(turn time.Time, events []event) []event {
	before := e.told
	e.told = map[told]time.Time{}
	var out []event
	for _, event := range events {
		switch {
		case !event.at.Equal(turn):
			continue
		case !isWarning(event) || event.reason == "FailedUpdateStatus":
			out = append(out, event)
			continue
		}
		key := keyOf(event)
		at, known := before[key]
		if !known || turn.Sub(at) >= seldom {
			out, at = append(out, event), turn
		}
		e.told[key] = at
	}
	return out
}

// levelNamed takes out events that name a pod where any may be meant: ours names
// the first, so its text changes when that one goes, and is told again. Ours has
// to be among all that upstream told in the turn, and upstream's to be one of ours
// of the last minutes.
func (e *explainer) levelNamed(all []event, up, our *view) {
	named := func(event event) bool { return isWarning(event) && missingRequest.MatchString(event.message) }
	our.events = slices.DeleteFunc(our.events, func(mine event) bool {
		if !named(mine) || !slices.ContainsFunc(all, func(theirs event) bool { return sameTurn(mine, theirs) && keyOf(mine) == keyOf(theirs) }) {
			return false
		}
		if e.named == nil {
			e.named = map[told]time.Time{}
		}
		e.named[keyOf(mine)] = mine.at
		return true
	})
	up.events = slices.DeleteFunc(up.events, func(theirs event) bool {
		at, known := e.named[keyOf(theirs)]
		return named(theirs) && known && theirs.at.Sub(at) <= seldom
	})
	e.levelRefused(up, our)
}

// noReason is how upstream tells of a change that no metric asked for.
const noReason = "; reason: ; error: "

// levelRefused takes out of upstream's events those of a refused change without a
// reason that ours has told already, and goes on, with one.
func (e *explainer) levelRefused(up, our *view) {
	for _, mine := range our.events {
		if mine.reason == "FailedRescale" {
			e.refusals = append(e.refusals, mine)
		}
	}
	up.events = slices.DeleteFunc(up.events, func(theirs event) bool {
		before, after, empty := strings.Cut(theirs.message, noReason)
		return empty && slices.ContainsFunc(e.refusals, func(mine event) bool {
			return theirs.at.After(mine.at) && theirs.at.Sub(mine.at) < seldom &&
				strings.HasPrefix(mine.message, before+"; reason: ") && strings.HasSuffix(mine.message, "; error: "+after)
		})
	})
}

// inTurn brings events into an order, without what texts name
// any one of.
func inTurn(events []event) {
	for i := range events {
		events[i].message = inOrder(events[i].message)
	}
	slices.SortFunc(events, func(a, b event) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.reason, b.reason), cmp.Compare(a.message, b.message))
	})
}
