package publishing

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

func unit(name string) decision.Unit {
	return decision.Unit{Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: name}
}

// A capital letter is a warning.
func warns(e string) bool { return e[0] >= 'A' && e[0] <= 'Z' }

func TestFreshTellsAWarningOnce(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	turns := []struct {
		after  time.Duration
		events []string
		want   []string
	}{
		{0, []string{"A", "b"}, []string{"A", "b"}},
		{time.Minute, []string{"b", "A", "C"}, []string{"b", "C"}},
		{repeatAfter - 1, []string{"A"}, nil},
		{repeatAfter, []string{"A", "C"}, []string{"A", "C"}},
		{repeatAfter + time.Minute, nil, nil},
		{repeatAfter + 2*time.Minute, []string{"A"}, []string{"A"}},
	}
	var w Warnings[string]
	for _, turn := range turns {
		got := w.Fresh(unit("web"), turn.events, start.Add(turn.after), warns)
		if diff := cmp.Diff(turn.want, got); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", turn.after, diff)
		}
	}
	now := start.Add(repeatAfter + 2*time.Minute)
	if got := w.Fresh(unit("orders"), []string{"A"}, now, warns); len(got) != 1 {
		t.Errorf("another object's warning is not told: %v", got)
	}
	w.Forget(unit("web"))
	if got := w.Fresh(unit("web"), []string{"A"}, now, warns); len(got) != 1 {
		t.Errorf("a forgotten object's warning is not told: %v", got)
	}
}

func TestLeftAlone(t *testing.T) {
	var l LeftAlone
	l.Forget(unit("web"))
	for _, turn := range []struct {
		name string
		left bool
		want int
	}{{"web", true, 1}, {"web", true, 1}, {"orders", true, 2}, {"jobs", false, 2}, {"web", false, 1}} {
		l.Note(unit(turn.name), turn.left)
		if got := l.Count(); got != turn.want {
			t.Errorf("after %+v Count() = %d", turn, got)
		}
	}
	l.Forget(unit("orders"))
	if got := l.Count(); got != 0 {
		t.Errorf("Count() = %d after all are forgotten", got)
	}
}
