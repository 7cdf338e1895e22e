package verticalpolicy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestTheMoreCautiousModeHolds(t *testing.T) {
	for name, c := range map[string]struct{ policy, binary, want string }{
		"both act":                   {ModeAuto, ModeAuto, ModeAuto},
		"none is stated":             {"", ModeAuto, ModeAuto},
		"the policy only recommends": {ModeRecommend, ModeAuto, ModeRecommend},
		"the policy is off":          {ModeOff, ModeAuto, ModeOff},
		"off before recommend":       {ModeOff, ModeRecommend, ModeOff},
		"the binary only recommends": {ModeAuto, ModeRecommend, ModeRecommend},
		"of a later version":         {"Careful", ModeAuto, ModeAuto},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Attached{Name: "web", Mode: c.policy}).More(c.binary); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestDisruptionOpen(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 7, 1, hour, 0, 0, 0, time.UTC) }
	bound := Disruption{Windowed: true, Windows: []Window{{at(2), at(5)}, {at(4), at(6)}, {at(26), at(29)}}}
	for name, c := range map[string]struct {
		d     Disruption
		now   time.Time
		open  bool
		until time.Time
	}{
		"no windows":              {Disruption{}, at(3), true, time.Time{}},
		"none that can be read":   {Disruption{Windowed: true}, at(3), false, time.Time{}},
		"before the first":        {bound, at(1), false, at(2)},
		"at the opening":          {bound, at(2), true, at(5)},
		"where two overlap":       {bound, at(4), true, at(6)},
		"at the close":            {bound, at(6), false, at(26)},
		"in one that comes again": {bound, at(27), true, at(29)},
		"after the last":          {bound, at(40), false, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			if open, until := c.d.Open(c.now); open != c.open || !until.Equal(c.until) {
				t.Errorf("open %v until %s, want %v until %s", open, until, c.open, c.until)
			}
		})
	}
}

// A snapshot is read again from its JSON.
func TestProjectionsSurviveJSON(t *testing.T) {
	margin, most := 0.0, intstr.FromString("10%")
	opens := time.Date(2026, 7, 1, 2, 0, 0, 0, time.UTC)
	roundTrip(t, Recommender{Attached: Attached{Name: "web", Mode: ModeOff}, ColdStart: []string{StartImage, StartFloor}, Bound: true,
		CPU: Estimation{Target: 0.95, Margin: &margin, HalfLife: time.Hour}, MemoryWindow: time.Hour, MemoryWindows: 3})
	roundTrip(t, Updater{Attached: Attached{Name: "web"}, RequireFit: true, Breaker: &Breaker{Failures: 3, ReadyWithin: time.Minute},
		Disruption: Disruption{MaxUnavailable: &most, MinInterval: time.Hour, Windowed: true,
			Windows: []Window{{opens, opens.Add(time.Hour)}}, Surge: SurgeAlways}})
	roundTrip(t, Admission{Attached: Attached{Name: "web"}, Runtimes: []string{RuntimeGo, RuntimeJVM}})
}

func roundTrip[T any](t *testing.T, want T) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got T
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after JSON (-before +after):\n%s", diff)
	}
}
