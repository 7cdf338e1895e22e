package replicas

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// defaults are the flags' defaults.
var defaults = Config{
	SyncPeriod: 15 * time.Second, Tolerance: 0.1, DownscaleStabilization: 5 * time.Minute,
	CPUInitializationPeriod: 5 * time.Minute, InitialReadinessDelay: 30 * time.Second,
}

func ptr[T any](v T) *T { return &v }

// plain is a snapshot of one healthy object with spec replicas, pods as many,
// and no metric yet.
func plain(spec int32) Snapshot {
	s := Snapshot{
		Now: noon, Mode: ModeAuto, Config: defaults, Gates: Gates{ScaleToZero: true},
		HPA: HPA{Namespace: "shop", Name: "web", UID: "u1", Generation: 1, Min: 1, Max: 100,
			Target: Target{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}},
		Scale:   Scale{Spec: spec, Status: spec, Selector: "app=web"},
		Samples: map[string]Samples{},
	}
	s.Pods = healthy(spec, s.Now)
	return s
}

func healthy(n int32, now time.Time) map[string]Pod {
	pods := map[string]Pod{}
	for i := range n {
		pods[podName(i)] = Pod{Started: now.Add(-time.Hour), Ready: "True", ReadySince: now.Add(-time.Hour),
			Requests: map[string]int64{CPU: 1000}}
	}
	return pods
}

func podName(i int32) string { return "web-" + strconv.Itoa(int(i)) }

// sampled gives every pod a sample of the value that is a minute old.
func sampled(pods map[string]Pod, now time.Time, value int64) Samples {
	out := Samples{At: now, Pods: map[string]PodSample{}}
	for name := range pods {
		out.Pods[name] = PodSample{Value: value, At: now, Window: time.Minute}
	}
	return out
}

func withMetric(s Snapshot, m Metric, samples Samples) Snapshot {
	s.Samples[Key(len(s.HPA.Metrics))] = samples
	s.HPA.Metrics = append(s.HPA.Metrics, m)
	return s
}

func utilization(percent int32) Metric {
	return Metric{Type: Resource, Name: CPU, TargetType: "Utilization", AverageUtilization: &percent}
}

func externalAverage(milli int64) Metric {
	return Metric{Type: External, Name: "depth", TargetType: TargetAverageValue, AverageValue: &milli}
}

func externalValue(milli int64) Metric {
	return Metric{Type: External, Name: "depth", TargetType: TargetValue, Value: &milli}
}

// checkReplay decides again on what JSON made of the input, and compares bytes.
func checkReplay(t testing.TB, s Snapshot, state State, d Decision) {
	t.Helper()
	var s2 Snapshot
	var state2 State
	roundTrip(t, s, &s2)
	roundTrip(t, state, &state2)
	want, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(Decide(s2, state2))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatalf("the replay differs\nwas: %s\nnow: %s", want, got)
	}
	var d2 Decision
	roundTrip(t, d, &d2)
	again, err := json.Marshal(d2)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(want) {
		t.Fatalf("the decision does not survive JSON\nwas: %s\nnow: %s", want, again)
	}
	if strings.Contains(string(want), "null") {
		t.Fatalf("the decision holds a null: %s", want)
	}
}

func roundTrip(t testing.TB, from, to any) {
	t.Helper()
	raw, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		t.Fatal(err)
	}
}

// world is a cluster of one object, moved in steps.
type world struct {
	snapshot Snapshot
	state    State
	// fixed tells that the pods are set by hand and do not follow the count.
	fixed bool
	// unreplayed spares the replay of the next turn.
	unreplayed bool
	// refuse is the error of the next action.
	refuse string
}

func newWorld(spec int32) *world { return &world{snapshot: plain(spec)} }

// turn runs one observe, decide, act, commit.
func (w *world) turn(t testing.TB) (Decision, decision.Outcome) {
	t.Helper()
	if !w.fixed {
		w.snapshot.Pods = healthy(w.snapshot.Scale.Status, w.snapshot.Now)
	}
	d := Decide(w.snapshot, w.state)
	if !w.unreplayed {
		checkReplay(t, w.snapshot, w.state, d)
	}
	o := decision.Outcome{Result: decision.Unneeded}
	if d.Act {
		o.Result = decision.Succeeded
		if w.refuse != "" {
			o = decision.Outcome{Result: decision.Failed, Error: w.refuse}
		}
	}
	w.refuse = ""
	w.state = Commit(w.state, d, o)
	w.show(Render(d, o))
	if o.Result == decision.Succeeded {
		w.snapshot.Scale.Spec, w.snapshot.Scale.Status = d.To, d.To
	}
	return d, o
}

// show moves the status of the object as the shell would write it.
func (w *world) show(r Report) {
	status := &w.snapshot.HPA.Status
	if r.Status.Scope == ScopeAll {
		status.CurrentReplicas, status.DesiredReplicas = r.Status.CurrentReplicas, r.Status.DesiredReplicas
		if !r.Status.ScaledAt.IsZero() {
			status.LastScaleTime = r.Status.ScaledAt.Truncate(time.Second)
		}
	}
	shown := slices.DeleteFunc(slices.Clone(status.Shown), func(kind string) bool { return slices.Contains(r.Status.Withdrawn, kind) })
	for _, c := range r.Conditions {
		switch {
		case c.Type == ScaledToZero:
			status.ScaledToZero = c.Status == decision.True
		case strings.HasPrefix(c.Type, OwnPrefix):
			shown = append(shown, c.Type)
		}
	}
	slices.Sort(shown)
	status.Shown = slices.Compact(shown)
}

// setBehavior reads "up window=60 select=Max policy=Pods:4:15 tolerance=0.2".
func setBehavior(s *Snapshot, fields []string) error {
	if s.HPA.Behavior == nil {
		s.HPA.Behavior = &behavior.Behavior{Up: behavior.DefaultUp(), Down: behavior.DefaultDown(s.Config.DownscaleStabilization)}
	}
	rules := &s.HPA.Behavior.Up
	if fields[0] == "down" {
		rules = &s.HPA.Behavior.Down
	}
	policies := []behavior.Policy(nil)
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "window":
			rules.WindowSeconds = int32(number(value))
		case "select":
			rules.Select = value
		case "tolerance":
			t, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return err
			}
			rules.Tolerance = &t
		case "policy":
			parts := strings.Split(value, ":")
			policies = append(policies, behavior.Policy{Type: parts[0], Value: int32(number(parts[1])), PeriodSeconds: int32(number(parts[2]))})
		default:
			return fmt.Errorf("unknown field %q of a behavior", key)
		}
	}
	if policies != nil {
		rules.Policies = policies
	}
	return nil
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
