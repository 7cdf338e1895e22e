package replicas

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// A soak is a day of one object in simulated time: load that follows the day,
// with noise and bursts; metrics that fail or stand still; rollouts, schedules,
// pauses, people, refused writes and restarts. Every turn is held to what must
// hold whatever happens: see soakcheck_test.go.
type soak struct {
	r *rand.Rand
	w *world
	// until is when each trouble ends, by its name.
	until map[string]time.Time
	// frozen is when the samples stopped to move.
	frozen time.Time
	pods   map[string]Pod
	checks checks
	trace  strings.Builder
}

const (
	soakTurn = 15 * time.Second
	soakDay  = 24 * time.Hour
	// soakReplay is every how many turns the decision is replayed from JSON.
	soakReplay = 40
)

// TestDay lets days go by, and at the end asks that every rule had its say.
func TestDay(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(12) {
		s := newSoak(seed)
		s.checks.seen = seen
		s.run(t)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, reason := range []string{
		"policy/mode Off", "policy/mode Recommends", "policy/schedule ScheduleInForce", "policy/schedule NoWindowOpen",
		"policy/sample-age SampleTooOld", "policy/tolerance ToleranceWidened", "policy/activation BelowActivation",
		"policy/activation Activated", "policy/fallback FallbackWaits", "policy/fallback FallbackInForce",
		"window/stabilization ScaleDownStabilized", "window/stabilization ScaleUpStabilized", "rate/limit ScaleUpLimit",
		"rate/limit ScaleDownLimit", "delay/up BackoffUpscale", "delay/down BackoffDownscale", "pause/up Paused", "pause/down Paused",
		"bound/max TooManyReplicas", "bound/min TooFewReplicas", "history/first-sight FirstSight", "metrics/highest SomeMetricsFailed", "killed",
	} {
		if seen[reason] == 0 {
			t.Errorf("%s never happened", reason)
		}
	}
}

// TestDayIsTheSameAgain runs one day twice.
func TestDayIsTheSameAgain(t *testing.T) {
	days := make([]uint64, 2)
	for i := range days {
		s := newSoak(3)
		s.checks.seen = map[string]int{}
		s.run(t)
		h := fnv.New64a()
		_, _ = h.Write([]byte(s.trace.String()))
		days[i] = h.Sum64()
	}
	if days[0] != days[1] {
		t.Error("the same day went another way")
	}
}

func newSoak(seed uint64) *soak {
	s := &soak{r: rand.New(rand.NewPCG(seed, 24)), w: newWorld(3), until: map[string]time.Time{}}
	s.w.fixed, s.w.unreplayed = true, true
	sn := &s.w.snapshot
	sn.Now = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	sn.HPA.Min, sn.HPA.Max = int32(seed%3), 25
	sn.HPA.Metrics = []Metric{externalAverage(10_000)}
	if seed%4 == 1 {
		sn.HPA.Metrics = append(sn.HPA.Metrics, utilization(50))
	}
	if seed%2 == 1 {
		sn.HPA.Behavior = soakBehavior(s.r)
	}
	sn.Policy = &Policy{
		Source: "HorizontalScalingPolicy day", MaxSampleAge: 2 * time.Minute,
		Activation:  map[string]int64{"depth": 4_000},
		Oscillation: &Oscillation{Window: 30 * time.Minute, Changes: 3, Tolerance: 0.3},
	}
	if seed%3 == 0 {
		sn.Policy.UpscaleDelay, sn.Policy.DownscaleDelay = ptr(time.Minute), ptr(4*time.Minute)
	}
	if policies := []string{"", FallbackReplicas, FallbackAtLeast, FallbackAtMost, FallbackHold}; seed%5 > 0 {
		sn.Policy.Fallback = &Fallback{Policy: policies[seed%5], Replicas: 2 + s.r.Int32N(15), After: 3 * time.Minute}
	}
	return s
}

// soakBehavior has windows and rates in both directions.
func soakBehavior(r *rand.Rand) *behavior.Behavior {
	rules := func(window int32) behavior.Rules {
		return behavior.Rules{WindowSeconds: window, Select: []string{behavior.SelectMax, behavior.SelectMin}[r.IntN(2)],
			Policies: []behavior.Policy{
				{Type: behavior.Pods, Value: 1 + r.Int32N(3), PeriodSeconds: 30 + r.Int32N(60)},
				{Type: behavior.Percent, Value: 20 + r.Int32N(60), PeriodSeconds: 30 + r.Int32N(60)},
			}}
	}
	return &behavior.Behavior{Up: rules(30), Down: rules(240)}
}

// opening is a schedule of every day.
type opening struct {
	name        string
	at, length  time.Duration
	min, max    *int32
	rampUp, off time.Duration
}

var openings = []opening{
	{name: "day", at: 8 * time.Hour, length: 9 * time.Hour, min: ptr(int32(6)), max: ptr(int32(30)), rampUp: 40 * time.Minute, off: time.Hour},
	{name: "lunch", at: 12 * time.Hour, length: time.Hour, min: ptr(int32(9)), max: ptr(int32(12))},
	{name: "night", at: 22 * time.Hour, length: 7 * time.Hour, min: ptr(int32(0)), max: ptr(int32(8))},
	{name: "capped", at: 14 * time.Hour, length: 30 * time.Minute, max: ptr(int32(4))},
	{name: "shut", at: 3 * time.Hour, length: 30 * time.Minute, max: ptr(int32(0))},
}

// windows gives those that are open and the next of each, as the shell does.
func windows(now time.Time) []Window {
	var out []Window
	midnight := now.Truncate(soakDay)
	for _, o := range openings {
		for day := -1; day <= 1; day++ {
			w := Window{Name: o.name, Opens: midnight.Add(time.Duration(day)*soakDay + o.at), Min: o.min, Max: o.max, RampUp: o.rampUp, RampDown: o.off}
			w.Closes = w.Opens.Add(o.length)
			if !now.Before(w.Closes) {
				continue
			}
			out = append(out, w)
			if now.Before(w.Opens) {
				break
			}
		}
	}
	slices.SortFunc(out, func(a, b Window) int { return a.Opens.Compare(b.Opens)*2 + strings.Compare(a.Name, b.Name) })
	return out
}

func (s *soak) run(t *testing.T) {
	for n := range int(soakDay / soakTurn) {
		sn := &s.w.snapshot
		sn.Now = sn.Now.Add(soakTurn)
		s.troubles(t)
		s.observe()
		s.w.unreplayed = n%soakReplay != 0
		before := *sn
		d, o := s.turn(t)
		fmt.Fprintf(&s.trace, "%d %d %s %s\n", d.From, d.To, d.Reason, d.Message)
		s.checks.turn(t, before, s.w.state, d, o)
		if t.Failed() {
			t.Fatalf("turn %d at %s: %s", n, sn.Now, tell(d, o))
		}
	}
}

// turn runs one, in which the process may be killed beside the write of the scale.
func (s *soak) turn(t *testing.T) (Decision, decision.Outcome) {
	w := s.w
	d := Decide(w.snapshot, w.state)
	if !d.Act || s.r.IntN(20) > 0 {
		return w.turn(t)
	}
	s.checks.seen["killed"]++
	o := decision.Outcome{Result: decision.Failed, Error: "killed"}
	if s.r.IntN(2) == 0 {
		o = decision.Outcome{Result: decision.Succeeded}
		// Nobody came to show it but for the zero, without which nothing ends it.
		w.snapshot.Scale.Spec, w.snapshot.Scale.Status = d.To, d.To
		if d.Zero != "" {
			w.snapshot.HPA.Status.ScaledToZero = d.Zero == ReasonZero
		}
	}
	w.state = s.kept(t, Intending(w.state, d))
	return d, o
}

// kept gives a state as it comes back from where it was kept.
func (s *soak) kept(t *testing.T, state State) State {
	t.Helper()
	raw, err := AppendState(nil, Compact(state, WindowsOf(&s.w.snapshot), s.w.snapshot.Now))
	if err != nil {
		t.Fatal(err)
	}
	if state, err = DecodeState(raw); err != nil {
		t.Fatal(err)
	}
	return Restored(state, s.w.snapshot.Now)
}

// starts lets a trouble begin by chance and tells whether it is there.
func (s *soak) starts(name string, oneIn int, longest time.Duration) bool {
	if s.w.snapshot.Now.Before(s.until[name]) {
		return true
	}
	if s.r.IntN(oneIn) > 0 {
		return false
	}
	s.until[name] = s.w.snapshot.Now.Add(time.Duration(s.r.Int64N(int64(longest))))
	return s.w.snapshot.Now.Before(s.until[name])
}

// troubles changes what people and the cluster do.
func (s *soak) troubles(t *testing.T) {
	t.Helper()
	sn := &s.w.snapshot
	p := *sn.Policy
	p.Windows, p.Mode, p.Pause = windows(sn.Now), "", nil
	for _, pause := range []Pause{{Direction: behavior.Up}, {Direction: behavior.Down}, {Direction: PauseBoth}} {
		if name := "pause " + pause.Direction; s.starts(name, 1500, 30*time.Minute) {
			pause.Until = s.until[name]
			p.Pause = &pause
		}
	}
	if s.starts("off", 2000, 10*time.Minute) {
		p.Mode = ModeOff
	}
	if s.starts("recommend", 2000, 10*time.Minute) {
		p.Mode = ModeRecommend
	}
	sn.Policy = &p
	if s.r.IntN(50) == 0 {
		s.w.refuse = "conflict"
	}
	if s.r.IntN(1500) == 0 {
		n := 1 + s.r.Int32N(50)
		sn.Scale.Spec, sn.Scale.Status = n, n
	}
	if s.r.IntN(700) == 0 {
		s.restart(t)
	}
}

// restart loses the state, or keeps it as it was written down.
func (s *soak) restart(t *testing.T) {
	t.Helper()
	if s.r.IntN(2) == 0 {
		s.w.state = State{}
		s.checks.lost()
		return
	}
	s.w.state = s.kept(t, s.w.state)
}

// load is what is to be done at a time of the day, in pods.
func (s *soak) load() float64 {
	hour := float64(s.w.snapshot.Now.Sub(s.w.snapshot.Now.Truncate(soakDay))) / float64(time.Hour)
	l := 9 - float64(10*math.Cos(2*math.Pi*(hour-3)/24)) + s.r.NormFloat64()
	if s.starts("burst", 500, 10*time.Minute) {
		l += 12
	}
	if hour < 6 {
		l = s.r.Float64()
	}
	return max(l, 0)
}

// observe fills the pods and the samples.
func (s *soak) observe() {
	sn, load := &s.w.snapshot, s.load()
	surge := int32(0)
	if s.starts("rollout", 500, 5*time.Minute) && sn.Scale.Spec > 0 {
		surge = 1 + sn.Scale.Spec/4
	}
	sn.Scale.Status = sn.Scale.Spec + surge
	if len(s.pods) != int(sn.Scale.Status) {
		s.pods = healthy(sn.Scale.Status, sn.Now)
		for i := sn.Scale.Spec; i < sn.Scale.Status; i++ {
			s.pods[podName(i)] = Pod{Started: sn.Now, Ready: "False", ReadySince: sn.Now, Requests: map[string]int64{CPU: 1000}}
		}
	}
	sn.Pods = s.pods
	at := sn.Now.Add(-5 * time.Second)
	if s.starts("stale", 900, 15*time.Minute) {
		if s.frozen.IsZero() {
			s.frozen = at
		}
		at = s.frozen
	} else {
		s.frozen = time.Time{}
	}
	sn.Samples = map[string]Samples{Key(0): {At: at, Values: []int64{int64(load * 10_000)}}}
	if s.starts("outage", 400, 20*time.Minute) {
		sn.Samples[Key(0)] = Samples{Error: "no answer"}
	}
	if len(sn.HPA.Metrics) > 1 {
		used := int64(min(1000, load*500/float64(max(1, sn.Scale.Spec))))
		sn.Samples[Key(1)] = sampled(s.pods, at, used)
		if s.starts("outage of cpu", 800, 20*time.Minute) {
			sn.Samples[Key(1)] = Samples{Error: "no answer"}
		}
	}
}
