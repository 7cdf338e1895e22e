package replicas

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// randomBehavior gives rules that the API server would accept.
func randomBehavior(r *rand.Rand) *behavior.Behavior {
	if r.IntN(2) == 0 {
		return nil
	}
	rules := func() behavior.Rules {
		out := behavior.Rules{WindowSeconds: r.Int32N(120), Select: []string{behavior.SelectMax, behavior.SelectMin, behavior.SelectDisabled}[r.IntN(3)]}
		for range 1 + r.IntN(3) {
			out.Policies = append(out.Policies, behavior.Policy{
				Type: []string{behavior.Pods, behavior.Percent}[r.IntN(2)], Value: 1 + r.Int32N(60), PeriodSeconds: 1 + r.Int32N(90),
			})
		}
		if r.IntN(3) == 0 {
			out.Tolerance = ptr(r.Float64() / 2)
		}
		return out
	}
	return &behavior.Behavior{Up: rules(), Down: rules()}
}

func randomPods(r *rand.Rand, n int32, now time.Time) map[string]Pod {
	pods := map[string]Pod{}
	before := func() time.Time { return now.Add(-time.Duration(r.IntN(900)) * time.Second) }
	for i := range n {
		p := Pod{Phase: []string{"", "", "", "", "Pending", "Failed", "Succeeded"}[r.IntN(7)], Deleting: r.IntN(12) == 0,
			Ready: []string{"True", "True", "True", "False", "Unknown", ""}[r.IntN(6)], Requests: map[string]int64{CPU: 1 + r.Int64N(2000)}}
		if r.IntN(8) > 0 {
			p.Started, p.ReadySince = before(), before()
		}
		pods[podName(i)] = p
	}
	return pods
}

func randomMetrics(r *rand.Rand, s *Snapshot) {
	s.HPA.Metrics, s.Samples = nil, map[string]Samples{}
	for i := range 1 + r.IntN(3) {
		m := []Metric{utilization(1 + r.Int32N(200)), externalAverage(1 + r.Int64N(9000)), externalValue(1 + r.Int64N(9000)),
			{Type: Pods, Name: "qps", AverageValue: ptr(1 + r.Int64N(9000))},
			{Type: Resource, Name: CPU, AverageValue: ptr(1 + r.Int64N(2000))}}[r.IntN(5)]
		s.HPA.Metrics = append(s.HPA.Metrics, m)
		s.Samples[Key(i)] = randomSamples(r, s, m)
	}
}

func randomSamples(r *rand.Rand, s *Snapshot, m Metric) Samples {
	if r.IntN(10) == 0 {
		return Samples{Error: "unable to fetch"}
	}
	out := Samples{At: s.Now.Add(-time.Duration(r.IntN(60)) * time.Second)}
	if m.Type == External {
		out.Values = []int64{r.Int64N(1 << (1 + r.IntN(40)))}
		return out
	}
	out.Pods = map[string]PodSample{}
	level := 1 + r.Int64N(3000)
	for name := range s.Pods {
		if r.IntN(8) > 0 {
			out.Pods[name] = PodSample{Value: r.Int64N(level), At: out.At, Window: time.Duration(r.IntN(60)) * time.Second}
		}
	}
	return out
}

// change is one count that was set.
type change struct {
	at       time.Time
	from, to int32
}

// TestSequences drives random worlds for many turns and holds every decision to
// what must hold whatever happens.
func TestSequences(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(1 + r.Int32N(10))
		w.fixed = true
		s := &w.snapshot
		s.HPA.Min = 1 + r.Int32N(4)
		s.HPA.Max = s.HPA.Min + r.Int32N(20)
		s.HPA.Behavior = randomBehavior(r)
		s.Config.UpscaleDelay = time.Duration(r.IntN(3)*30) * time.Second
		s.Config.DownscaleDelay = time.Duration(r.IntN(3)*30) * time.Second
		s.Config.DownscaleStabilization = time.Duration(r.IntN(3)*30) * time.Second
		var changes []change
		for turn := range 40 {
			s.Pods = randomPods(r, s.Scale.Status, s.Now)
			randomMetrics(r, s)
			if turn > 0 && r.IntN(20) == 0 {
				w.state = State{}
			}
			d, o := w.turn(t)
			holdInvariants(t, *s, d)
			if o.Result == decision.Succeeded {
				c := change{at: d.At, from: d.From, to: d.To}
				holdDelays(t, *s, changes, c)
				changes = append(changes, c)
			}
			if t.Failed() {
				t.Fatalf("seed %d turn %d: %s", seed, turn, tell(d, o))
			}
			s.Now = s.Now.Add(time.Duration(5+r.IntN(20)) * time.Second)
		}
	}
}

// holdInvariants checks one decision. The snapshot's scale may have moved on.
func holdInvariants(t *testing.T, s Snapshot, d Decision) {
	t.Helper()
	if d.Act && (d.To < s.HPA.Min || d.To > s.HPA.Max) {
		t.Errorf("acts on %d, outside %d to %d", d.To, s.HPA.Min, s.HPA.Max)
	}
	failed := false
	for _, p := range d.Proposals {
		failed = failed || p.Failure != ""
	}
	if failed && d.To < d.From {
		t.Error("scales down although a metric failed")
	}
	if d.Act != (d.To != d.From) {
		t.Error("in mode Auto a change and an action are the same")
	}
}

func holdDelays(t *testing.T, s Snapshot, past []change, c change) {
	t.Helper()
	if c.from < s.HPA.Min || c.from > s.HPA.Max {
		return // the bounds come first
	}
	for _, p := range past {
		up, wasUp := c.to > c.from, p.to > p.from
		if up && wasUp && c.at.Before(p.at.Add(s.Config.UpscaleDelay)) {
			t.Errorf("scaled up at %s, after %s", c.at, p.at)
		}
		if !up && !wasUp && c.at.Before(p.at.Add(s.Config.DownscaleDelay)) {
			t.Errorf("scaled down at %s, after %s", c.at, p.at)
		}
	}
}

// TestMissingDataNeverTurnsTheDirection takes samples away and compares.
func TestMissingDataNeverTurnsTheDirection(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := plain(1 + r.Int32N(12))
		s = withMetric(s, utilization(1+r.Int32N(150)), sampled(s.Pods, s.Now, r.Int64N(2000)))
		whole := ask(&s, 0)
		less := Samples{At: s.Now, Pods: map[string]PodSample{}}
		for name, sample := range s.Samples[Key(0)].Pods {
			if r.IntN(2) == 0 {
				less.Pods[name] = sample
			}
		}
		s.Samples = map[string]Samples{Key(0): less}
		part := ask(&s, 0)
		if whole.failed != nil || part.failed != nil {
			continue
		}
		current := s.Scale.Spec
		if (whole.replicas < current && part.replicas > current) || (whole.replicas > current && part.replicas < current) {
			t.Fatalf("seed %d: %d became %d with samples missing, from %d (%s)", seed, whole.replicas, part.replicas, current, part.note)
		}
	}
}

// TestOldSamplesNeverTurnTheDirection lets samples grow too old and compares.
func TestOldSamplesNeverTurnTheDirection(t *testing.T) {
	older := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := plain(1 + r.Int32N(12))
		s = withMetric(s, utilization(1+r.Int32N(150)), sampled(s.Pods, s.Now, r.Int64N(2000)))
		s.Policy = &Policy{Source: "HorizontalScalingPolicy day", MaxSampleAge: time.Minute}
		whole := ask(&s, 0)
		aged := sampled(s.Pods, s.Now, 0)
		for name, sample := range s.Samples[Key(0)].Pods {
			if r.IntN(2) == 0 {
				sample.At = s.Now.Add(-2 * time.Minute)
				older++
			}
			aged.Pods[name] = sample
		}
		s.Samples = map[string]Samples{Key(0): aged}
		turn := &turn{s: &s}
		judgeAges(turn)
		part := ask(&s, 0)
		if whole.failed != nil || part.failed != nil {
			continue
		}
		current := s.Scale.Spec
		if (whole.replicas < current && part.replicas > current) || (whole.replicas > current && part.replicas < current) {
			t.Fatalf("seed %d: %d became %d with old samples, from %d (%s)", seed, whole.replicas, part.replicas, current, part.note)
		}
	}
	if older == 0 {
		t.Error("no sample was too old")
	}
}

// TestMoreUsageNeverGivesFewerReplicas raises one metric step by step.
func TestMoreUsageNeverGivesFewerReplicas(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		base := plain(1 + r.Int32N(12))
		base.Scale.Status = r.Int32N(15)
		m := []Metric{externalAverage(1 + r.Int64N(5000)), externalValue(1 + r.Int64N(5000)), utilization(1 + r.Int32N(150))}[r.IntN(3)]
		b := randomBehavior(r)
		last := int32(-1)
		for usage := int64(0); usage < 40000; usage += 1 + r.Int64N(3000) {
			s := base
			s.HPA.Behavior = b
			s.Samples = map[string]Samples{Key(0): {At: s.Now, Values: []int64{usage}, Pods: sampled(s.Pods, s.Now, usage).Pods}}
			s.HPA.Metrics = []Metric{m}
			d := Decide(s, State{})
			if d.To < last {
				t.Fatalf("seed %d: usage %d gives %d, less gave %d", seed, usage, d.To, last)
			}
			last = d.To
		}
	}
}
