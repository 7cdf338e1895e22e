package vpa

import (
	"maps"
	"slices"
	"testing"
)

// few is the number of scenarios up to which what is rare need not happen.
const few = 300

// table prints what happened, what was explained and what could not be compared.
// What happened nowhere was not compared: that is an error where there were
// enough scenarios for it.
func (a *tally) table(t *testing.T, scenarios int) {
	t.Helper()
	for _, heading := range slices.Sorted(maps.Keys(a.explained)) {
		t.Logf("explained in %d scenarios: %s", a.explained[heading], heading)
	}
	for _, what := range slices.Sorted(maps.Keys(a.skipped)) {
		t.Logf("not compared, %d times: %s", a.skipped[what], what)
	}
	for _, what := range slices.Sorted(maps.Keys(a.seen)) {
		t.Logf("%7d %s", a.seen[what], what)
	}
	if scenarios < few {
		return
	}
	for _, what := range wanted {
		if a.seen[what] == 0 {
			t.Errorf("never happened, so nothing was compared of it: %s", what)
		}
	}
}
