package behavior

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func events(pairs ...int) []Event {
	var out []Event
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Event{At: noon.Add(-time.Duration(pairs[i]) * time.Second), Change: int32(pairs[i+1])})
	}
	return out
}

func TestLimitPlain(t *testing.T) {
	tests := map[string]struct {
		r        Range
		proposal int32
		want     int32
		reason   string
	}{
		"inside":                  {Range{5, 1, 20}, 8, 8, ReasonWithinRange},
		"below the minimum":       {Range{5, 3, 20}, 1, 3, ReasonTooFew},
		"above the maximum":       {Range{5, 1, 8}, 20, 8, ReasonTooMany},
		"twice the current":       {Range{5, 1, 50}, 20, 10, ReasonUpLimit},
		"at least four":           {Range{1, 1, 50}, 20, 4, ReasonUpLimit},
		"from zero at most four":  {Range{0, 0, 50}, 20, 4, ReasonUpLimit},
		"huge counts do not wrap": {Range{math.MaxInt32 - 1, 1, math.MaxInt32}, math.MaxInt32, math.MaxInt32, ReasonWithinRange},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := LimitPlain(tc.r, tc.proposal)
			if got.Replicas != tc.want || got.Reason != tc.reason || got.Limited != (tc.want != tc.proposal) {
				t.Errorf("got %+v, want %d %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestLimit(t *testing.T) {
	pods := func(n, period int32) Policy { return Policy{Type: Pods, Value: n, PeriodSeconds: period} }
	percent := func(n, period int32) Policy { return Policy{Type: Percent, Value: n, PeriodSeconds: period} }
	tests := map[string]struct {
		up, down   Rules
		ups, downs []Event
		r          Range
		proposal   int32
		want       int32
		reason     string
	}{
		"largest of the policies": {up: Rules{Select: SelectMax, Policies: []Policy{pods(2, 60), percent(50, 60)}},
			r: Range{10, 1, 100}, proposal: 50, want: 15, reason: ReasonUpLimit},
		"smallest of the policies": {up: Rules{Select: SelectMin, Policies: []Policy{pods(2, 60), percent(50, 60)}},
			r: Range{10, 1, 100}, proposal: 50, want: 12, reason: ReasonUpLimit},
		"percentages round up": {up: Rules{Select: SelectMax, Policies: []Policy{percent(10, 60)}},
			r: Range{1, 1, 100}, proposal: 9, want: 2, reason: ReasonUpLimit},
		"disabled up": {up: Rules{Select: SelectDisabled, Policies: []Policy{pods(9, 60)}},
			r: Range{4, 1, 100}, proposal: 9, want: 4, reason: ReasonUpLimit},
		"disabled down": {down: Rules{Select: SelectDisabled, Policies: []Policy{pods(9, 60)}},
			r: Range{4, 1, 100}, proposal: 1, want: 4, reason: ReasonDownLimit},
		"what was added in the period counts": {up: Rules{Select: SelectMax, Policies: []Policy{pods(4, 60)}}, ups: events(30, 3),
			r: Range{8, 1, 100}, proposal: 20, want: 9, reason: ReasonUpLimit},
		"what was added before does not": {up: Rules{Select: SelectMax, Policies: []Policy{pods(4, 60)}}, ups: events(60, 3),
			r: Range{8, 1, 100}, proposal: 20, want: 12, reason: ReasonUpLimit},
		"what was taken gives room": {up: Rules{Select: SelectMax, Policies: []Policy{pods(4, 60)}}, downs: events(30, 2),
			r: Range{8, 1, 100}, proposal: 20, want: 14, reason: ReasonUpLimit},
		"more than allowed was added: hold": {up: Rules{Select: SelectMax, Policies: []Policy{pods(1, 60)}}, ups: events(30, 6),
			r: Range{8, 1, 100}, proposal: 20, want: 8, reason: ReasonUpLimit},
		"the maximum before the rate": {up: Rules{Select: SelectMax, Policies: []Policy{pods(9, 60)}},
			r: Range{8, 1, 12}, proposal: 20, want: 12, reason: ReasonTooMany},
		"down by percent, truncated": {down: Rules{Select: SelectMax, Policies: []Policy{percent(25, 60)}},
			r: Range{10, 1, 100}, proposal: 1, want: 7, reason: ReasonDownLimit},
		"down to the minimum": {down: Rules{Select: SelectMax, Policies: []Policy{percent(100, 15)}},
			r: Range{10, 3, 100}, proposal: 1, want: 3, reason: ReasonTooFew},
		"no change is in range": {r: Range{5, 1, 9}, proposal: 5, want: 5, reason: ReasonWithinRange},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Limit(Behavior{Up: tc.up, Down: tc.down}, tc.r, Changes{Now: noon, Ups: tc.ups, Downs: tc.downs}, tc.proposal)
			if got.Replicas != tc.want || got.Reason != tc.reason {
				t.Errorf("got %+v, want %d %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestRecord(t *testing.T) {
	before := events(200, 1, 100, 2, 10, 3)
	argument := events(200, 1, 100, 2, 10, 3)
	got := Record(argument, Event{At: noon, Change: 9}, 60)
	want := events(200, 1, 0, 9, 10, 3)
	want[0].Outdated = true
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the last outdated place is used again:\n%s", diff)
	}
	if diff := cmp.Diff(before, argument); diff != "" {
		t.Errorf("the argument changed:\n%s", diff)
	}
	if got := Record(events(10, 3), Event{At: noon, Change: 9}, 60); len(got) != 2 {
		t.Errorf("without an outdated event one is added, got %v", got)
	}
}

// TestPoliciesHold drives random proposals through one policy and counts what
// was added in every period.
func TestPoliciesHold(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		policy := Policy{Type: Pods, Value: 1 + r.Int32N(5), PeriodSeconds: 15 * (1 + r.Int32N(6))}
		b := Behavior{Up: Rules{Select: SelectMax, Policies: []Policy{policy}}, Down: Rules{Select: SelectDisabled}}
		var ups []Event
		var all []Event
		current, now := int32(1), noon
		for range 60 {
			got := Limit(b, Range{current, 1, 1000}, Changes{Now: now, Ups: ups}, r.Int32N(50))
			if got.Replicas < current {
				t.Fatalf("disabled scale-down went from %d to %d", current, got.Replicas)
			}
			if got.Replicas > current {
				e := Event{At: now, Change: got.Replicas - current}
				ups, all, current = Record(ups, e, policy.PeriodSeconds), append(all, e), got.Replicas
			}
			if added := changed(all, now, policy.PeriodSeconds); added > int64(policy.Value) {
				t.Fatalf("%d added in %ds, the policy allows %d", added, policy.PeriodSeconds, policy.Value)
			}
			now = now.Add(15 * time.Second)
		}
	}
}

func TestDelays(t *testing.T) {
	ago := func(s int) time.Time { return noon.Add(-time.Duration(s) * time.Second) }
	tests := map[string]struct {
		d                 Delays
		current, proposal int32
		want              int32
		reason            string
	}{
		"none":                               {Delays{LastUp: ago(1)}, 2, 5, 5, ""},
		"up is held":                         {Delays{Up: time.Minute, LastUp: ago(59)}, 2, 5, 2, ReasonBackoffUp},
		"up is free at the end":              {Delays{Up: time.Minute, LastUp: ago(60)}, 2, 5, 5, ""},
		"down is not the business of up":     {Delays{Up: time.Minute, LastUp: ago(1)}, 5, 2, 2, ""},
		"down is held":                       {Delays{Down: time.Minute, LastDown: ago(1)}, 5, 2, 5, ReasonBackoffDown},
		"a scale-up does not delay the down": {Delays{Down: time.Minute, LastUp: ago(1)}, 5, 2, 2, ""},
		"never scaled":                       {Delays{Up: time.Minute, Down: time.Minute}, 2, 5, 5, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, until := tc.d.Hold(noon, tc.current, tc.proposal)
			if got.Replicas != tc.want || got.Reason != tc.reason || until.IsZero() != (tc.reason == "") {
				t.Errorf("got %+v until %s, want %d %q", got, until, tc.want, tc.reason)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	up, down := DefaultUp(), DefaultDown(5*time.Minute)
	if got := UpLimit(up, 2, Changes{Now: noon}); got != 6 {
		t.Errorf("up from 2 = %d, want 6", got)
	}
	if got := UpLimit(up, 10, Changes{Now: noon}); got != 20 {
		t.Errorf("up from 10 = %d, want 20", got)
	}
	if got := DownLimit(down, 10, Changes{Now: noon}); got != 0 || down.WindowSeconds != 300 || down.LongestPeriod() != 15 {
		t.Errorf("down from 10 = %d with %+v", got, down)
	}
}
