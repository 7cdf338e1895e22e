package replicas

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

func TestLimits(t *testing.T) {
	window := func(opens, closes time.Duration, low, high int32) Window {
		w := Window{Name: "w", Opens: noon.Add(opens), Closes: noon.Add(closes)}
		if low >= 0 {
			w.Min = &low
		}
		if high >= 0 {
			w.Max = &high
		}
		return w
	}
	ramps := func(w Window, up, down time.Duration) Window {
		w.RampUp, w.RampDown = up, down
		return w
	}
	named := func(w Window, name string) Window { w.Name = name; return w }
	const h = time.Hour
	tests := map[string]struct {
		windows []Window
		cpu     bool
		want    limits
	}{
		"none":                         {nil, false, limits{Min: 3, Max: 10}},
		"not open yet":                 {[]Window{window(1, h, 5, 20)}, false, limits{Min: 3, Max: 10}},
		"open from the first moment":   {[]Window{window(0, h, 5, 20)}, false, limits{Min: 5, Max: 20, MinBy: "w", MaxBy: "w"}},
		"closed at the last":           {[]Window{window(-h, 0, 5, 20)}, false, limits{Min: 3, Max: 10}},
		"lower than the object's own":  {[]Window{window(0, h, 1, 2)}, false, limits{Min: 1, Max: 2, MinBy: "w", MaxBy: "w"}},
		"only a minimum":               {[]Window{window(0, h, 5, -1)}, false, limits{Min: 5, Max: 10, MinBy: "w"}},
		"a minimum above the maximum":  {[]Window{window(0, h, 12, -1)}, false, limits{Min: 12, Max: 12, MinBy: "w", MaxBy: "w", Raised: true, Below: 10}},
		"a maximum below the minimum":  {[]Window{window(0, h, -1, 2)}, false, limits{Min: 3, Max: 3, MaxBy: "w", Raised: true, Below: 2}},
		"0 with a metric that ends it": {[]Window{window(0, h, 0, 0)}, false, limits{MinBy: "w", MaxBy: "w"}},
		"0 without one":                {[]Window{window(0, h, 0, 0)}, true, limits{Min: 1, Max: 1, MinBy: "w", MaxBy: "w", Awake: true, Raised: true}},
		"the highest minimum and the lowest maximum": {
			[]Window{window(0, h, 5, 9), named(window(0, h, 7, 20), "x"), named(window(0, h, 6, 8), "y")}, false,
			limits{Min: 7, Max: 8, MinBy: "x", MaxBy: "y"}},
		"a ramp begins at the object's own": {[]Window{ramps(window(0, h, 9, -1), 10*time.Minute, 0)}, false, limits{Min: 3, Max: 10, MinBy: "w"}},
		"rounded up on its way":             {[]Window{ramps(window(-time.Second, h, 9, -1), 10*time.Minute, 0)}, false, limits{Min: 4, Max: 10, MinBy: "w"}},
		"and there at its end":              {[]Window{ramps(window(-10*time.Minute, h, 9, -1), 10*time.Minute, 0)}, false, limits{Min: 9, Max: 10, MinBy: "w"}},
		"a ramp to less is rounded up too":  {[]Window{ramps(window(-9*time.Minute, h, 1, -1), 10*time.Minute, 0)}, false, limits{Min: 2, Max: 10, MinBy: "w"}},
		"before the ramp down":              {[]Window{ramps(window(-h, 10*time.Minute, 9, -1), 0, 10*time.Minute)}, false, limits{Min: 9, Max: 10, MinBy: "w"}},
		"on the ramp down":                  {[]Window{ramps(window(-h, 5*time.Minute, 9, -1), 0, 10*time.Minute)}, false, limits{Min: 6, Max: 10, MinBy: "w"}},
		"at the last moment of the ramp":    {[]Window{ramps(window(-h, 1, 9, -1), 0, 10*time.Minute)}, false, limits{Min: 4, Max: 10, MinBy: "w"}},
		"a week's ramp over a million":      {[]Window{ramps(window(-84*h, 84*h, 1_000_003, -1), 168*h, 0)}, false, limits{Min: 500_003, Max: 500_003, MinBy: "w", MaxBy: "w", Raised: true, Below: 10}},
		"one that ramps beside one that does not": {
			[]Window{ramps(window(-time.Minute, h, 9, -1), 10*time.Minute, 0), named(window(0, h, 5, -1), "x")}, false,
			limits{Min: 5, Max: 10, MinBy: "x"}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			s := plain(4)
			s.HPA.Min, s.HPA.Max = 3, 10
			s.HPA.Metrics = []Metric{externalAverage(1000)}
			if c.cpu {
				s.HPA.Metrics = []Metric{utilization(50)}
			}
			s.Policy = &Policy{Windows: c.windows}
			if diff := cmp.Diff(c.want, limitsOf(&s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestModes(t *testing.T) {
	tests := map[string]struct{ binary, policy, want string }{
		"auto":                      {ModeAuto, ModeAuto, ModeAuto},
		"unset":                     {ModeAuto, "", ModeAuto},
		"the policy watches":        {ModeAuto, ModeRecommend, ModeRecommend},
		"the policy is off":         {ModeAuto, ModeOff, ModeOff},
		"the binary watches":        {ModeRecommend, ModeAuto, ModeRecommend},
		"off goes before watching":  {ModeRecommend, ModeOff, ModeOff},
		"one that nobody knows":     {ModeRecommend, "Sometimes", ModeRecommend},
		"nobody knows, and it acts": {ModeAuto, "Sometimes", ModeAuto},
		"both watch":                {ModeRecommend, ModeRecommend, ModeRecommend},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			s := plain(1)
			s.Mode, s.Policy = c.binary, &Policy{Mode: c.policy}
			if got := modeOf(&s); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if asks := NeedsMetrics(&s); asks != (c.want != ModeOff) {
				t.Errorf("asks for metrics: %t", asks)
			}
		})
	}
}

// randomPolicy gives a policy that the API server would let through.
func randomPolicy(r *rand.Rand, now time.Time) *Policy {
	some := func(n int) time.Duration { return time.Duration(r.IntN(n)) * time.Second }
	p := &Policy{Source: "HorizontalScalingPolicy random", Mode: []string{"", ModeAuto, ModeAuto, ModeRecommend, ModeOff}[r.IntN(5)]}
	if r.IntN(2) == 0 {
		p.UpscaleDelay, p.DownscaleDelay = ptr(some(90)), ptr(some(90))
	}
	if r.IntN(2) == 0 {
		p.MaxSampleAge = time.Second + some(60)
	}
	if r.IntN(4) == 0 {
		p.Pause = &Pause{Direction: []string{behavior.Up, behavior.Down, PauseBoth}[r.IntN(3)], Until: now.Add(some(60) - 30*time.Second)}
	}
	if r.IntN(2) == 0 {
		p.Fallback = &Fallback{Policy: []string{FallbackHold, FallbackReplicas, FallbackAtLeast, FallbackAtMost}[r.IntN(4)],
			Replicas: r.Int32N(30), After: some(60)}
	}
	for i := range r.IntN(4) {
		w := Window{Name: podName(int32(i)), Opens: now.Add(some(600) - 400*time.Second)}
		w.Closes = w.Opens.Add(time.Minute + some(600))
		if low := r.Int32N(12); r.IntN(3) > 0 {
			w.Min, w.RampUp, w.RampDown = &low, some(30), some(30)
		}
		if high := r.Int32N(25); r.IntN(2) > 0 {
			w.Max = &high
		}
		p.Windows = append(p.Windows, w)
	}
	if r.IntN(2) == 0 {
		p.Activation = map[string]int64{"depth": r.Int64N(1 << 20)}
	}
	if r.IntN(2) == 0 {
		p.Oscillation = &Oscillation{Window: time.Minute + some(600), Changes: 2 + r.Int32N(2), Tolerance: r.Float64()}
	}
	return p
}

// TestMoreUsageNeverGivesFewerReplicasUnderAPolicy raises one metric step by step.
func TestMoreUsageNeverGivesFewerReplicasUnderAPolicy(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 5))
		base := plain(r.Int32N(12))
		base.Scale.Status = base.Scale.Spec
		base.HPA.Min = r.Int32N(3)
		base.HPA.Status.ScaledToZero = true
		base.HPA.Behavior = randomBehavior(r)
		base.HPA.Metrics = []Metric{externalAverage(1 + r.Int64N(5000))}
		base.Policy = randomPolicy(r, base.Now)
		state := State{Reversals: []time.Time{base.Now.Add(-50 * time.Second), base.Now.Add(-40 * time.Second), base.Now.Add(-30 * time.Second)}}
		last, at := int32(-1), base.Now.Add(-time.Duration(r.IntN(30))*time.Second)
		for usage := int64(0); usage < 40000; usage += 1 + r.Int64N(3000) {
			s := base
			s.Samples = map[string]Samples{Key(0): {At: at, Values: []int64{usage}}}
			d := Decide(s, state)
			if d.To < last {
				t.Fatalf("seed %d: usage %d gives %d, less gave %d", seed, usage, d.To, last)
			}
			last = d.To
		}
	}
}

// TestWhatIsNotNeededChangesNothing takes away what NeedsMetrics says that no
// rule looks at.
func TestWhatIsNotNeededChangesNothing(t *testing.T) {
	spared := 0
	for seed := range uint64(3000) {
		s, state := randomTurn(seed)
		if NeedsMetrics(&s) {
			continue
		}
		spared++
		want := Decide(s, state)
		s.Pods, s.Samples = nil, nil
		if diff := cmp.Diff(want, Decide(s, state)); diff != "" {
			t.Fatalf("seed %d:\n%s", seed, diff)
		}
	}
	if spared < 100 {
		t.Errorf("only %d of the snapshots need no metrics", spared)
	}
}

// TestPolicyIsShownAndWithdrawn follows the condition through the life of a policy.
func TestPolicyIsShownAndWithdrawn(t *testing.T) {
	w := newWorld(3)
	w.snapshot = withMetric(w.snapshot, externalAverage(1000), Samples{At: noon, Values: []int64{3000}})
	d, _ := w.turn(t)
	if got := reasonOf(d, Policed); got != "" {
		t.Errorf("without a policy the object shows %s", got)
	}
	w.snapshot.Policy = &Policy{Source: "HorizontalScalingPolicy a"}
	if d, _ = w.turn(t); reasonOf(d, Policed) != ReasonAttached {
		t.Errorf("with one it shows %q", reasonOf(d, Policed))
	}
	w.snapshot.Scale.Error = "no such thing"
	if d, _ = w.turn(t); reasonOf(d, Policed) != ReasonAttached {
		t.Errorf("without a scale it shows %q", reasonOf(d, Policed))
	}
	w.snapshot.Scale.Error, w.snapshot.Policy = "", nil
	d, _ = w.turn(t)
	if diff := cmp.Diff([]string{Policed}, d.Status.Withdrawn); diff != "" {
		t.Error(diff)
	}
	if d, _ = w.turn(t); len(d.Status.Withdrawn) != 0 {
		t.Errorf("it is withdrawn again: %v", d.Status.Withdrawn)
	}
}

func reasonOf(d Decision, kind string) string {
	for _, c := range d.Conditions {
		if c.Type == kind && c.Status == decision.True {
			return c.Reason
		}
	}
	return ""
}

// TestShownTextsStandStill lets time pass while nothing changes: no text that is
// written to the status may change with it.
func TestShownTextsStandStill(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 6))
	for seed := range 300 {
		s := plain(4)
		s = withMetric(s, externalAverage(1000), Samples{Error: "no answer"})
		s = withMetric(s, utilization(50), Samples{At: s.Now.Add(-time.Hour), Pods: sampled(s.Pods, s.Now.Add(-time.Hour), 100).Pods})
		s.HPA.Min = 4
		s.Policy = randomPolicy(r, s.Now)
		s.Policy.MaxSampleAge = time.Minute
		for i := range s.Policy.Windows {
			s.Policy.Windows[i].RampUp, s.Policy.Windows[i].RampDown = 0, 0
		}
		state := Commit(State{}, Decide(s, State{}), decision.Outcome{Result: decision.Unneeded})
		was := Decide(s, state)
		s.Now = s.Now.Add(time.Second)
		is := Decide(s, state)
		if reasonOf(is, Policed) != reasonOf(was, Policed) || is.To != was.To || was.Reason != is.Reason {
			continue // a window, a pause or the fallback began or ended
		}
		if len(was.Conditions) == len(is.Conditions) && !windowsMoved(&s) {
			if diff := cmp.Diff(was.Conditions, is.Conditions); diff != "" {
				t.Fatalf("%d:\n%s", seed, diff)
			}
			if diff := cmp.Diff(was.Events, is.Events); diff != "" {
				t.Fatalf("%d:\n%s", seed, diff)
			}
		}
	}
}

// windowsMoved tells whether a window opened or closed in the last second.
func windowsMoved(s *Snapshot) bool {
	for i := range s.Policy.Windows {
		if w := &s.Policy.Windows[i]; w.open(s.Now) != w.open(s.Now.Add(-time.Second)) {
			return true
		}
	}
	return false
}
