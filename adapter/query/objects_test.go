package query_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// pod is a value about a pod of namespace shop.
func pod(metric, name string, value float64, labels ...string) query.ObjectValue {
	v := query.ObjectValue{Metric: metric, Resource: "pods", Namespace: "shop", Name: name, Gauge: query.NumberOf(value)}
	for i := 0; i+1 < len(labels); i += 2 {
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[labels[i]] = labels[i+1]
	}
	return v
}

// about is a snapshot whose newest reading is of objects.
func about(values ...query.ObjectValue) query.Snapshot {
	s := start()
	s.Spec.Metrics = []query.Metric{{Name: "requests", Kind: query.Value}}
	s.Poll.Reading = &query.Reading{At: s.Now, Objects: values}
	return s
}

func lineOf(v query.ObjectValue) string {
	return fmt.Sprintf("%s %s/%s %s/%s %v %s%v", v.Metric, v.Group, v.Resource, v.Namespace, v.Name, v.Labels, v.Presence, v.Value)
}

func objectStep(d query.Decision) string {
	for _, step := range d.Steps {
		if step.Rule == "objects/values" {
			return step.Reason + ": " + step.Message
		}
	}
	return ""
}

func TestObjects(t *testing.T) {
	node := query.ObjectValue{Metric: "requests", Resource: "nodes", Name: "n1", Gauge: query.NumberOf(1)}
	elsewhere := pod("requests", "web-1", 7)
	elsewhere.Namespace = "other"
	deployment := query.ObjectValue{Resource: "deployments", Group: "apps", Namespace: "shop", Name: "web", Gauge: query.NumberOf(3)}
	for name, test := range map[string]struct {
		change func(*query.Snapshot)
		given  []query.ObjectValue
		want   []string
		step   string
		ready  string
	}{
		"none": {step: "", ready: "ValueMissing"},
		"sorted, and under their own names": {
			given: []query.ObjectValue{pod("requests", "web-2", 2), pod("requests", "web-1", 0), pod("errors", "web-1", 1)},
			want:  []string{"errors /pods shop/web-1 map[] Number1", "requests /pods shop/web-1 map[] Number0", "requests /pods shop/web-2 map[] Number2"},
			step:  "Measured: 3 values are about objects", ready: "Serving",
		},
		"without a name they are every metric of kind Value": {
			change: func(s *query.Snapshot) {
				s.Spec.Metrics = []query.Metric{{Name: "b", Kind: query.Value, Labels: map[string]string{"tier": "web"}}, {Name: "a", Kind: query.Value}}
			},
			given: []query.ObjectValue{deployment, pod("", "web-1", 1, "code", "200")},
			want: []string{
				"a apps/deployments shop/web map[] Number3", "a /pods shop/web-1 map[code:200] Number1",
				"b apps/deployments shop/web map[tier:web] Number3", "b /pods shop/web-1 map[code:200 tier:web] Number1",
			},
			step: "Measured: 4 values are about objects", ready: "Serving",
		},
		"a MetricSource of a namespace speaks of its own": {
			given: []query.ObjectValue{elsewhere, node, pod("requests", "web-1", 1)},
			want:  []string{"requests /pods shop/web-1 map[] Number1"},
			step:  "LeftOut: 1 values are about objects; left out: 2 of objects outside of the MetricSource's namespace (first pods other/web-1)",
			ready: "Serving",
		},
		"one of the cluster speaks of all": {
			change: func(s *query.Snapshot) { s.Unit.Namespace = "" },
			given:  []query.ObjectValue{elsewhere, node, pod("requests", "web-1", 1)},
			want:   []string{"requests /nodes /n1 map[] Number1", "requests /pods other/web-1 map[] Number7", "requests /pods shop/web-1 map[] Number1"},
			step:   "Measured: 3 values are about objects", ready: "Serving",
		},
		"a name that an older one serves": {
			change: func(s *query.Snapshot) {
				s.Rivals = []query.Rival{{Name: "older", Created: epoch.Add(-time.Hour), Metrics: []string{"requests"}}}
			},
			given: []query.ObjectValue{pod("", "web-1", 1), pod("errors", "web-1", 1)},
			want:  []string{"errors /pods shop/web-1 map[] Number1"},
			step:  "LeftOut: 1 values are about objects; left out: 1 of metric names that an older MetricSource serves (first pods shop/web-1)",
			ready: "MetricNameTaken",
		},
		"twice, the first counts": {
			given: []query.ObjectValue{pod("requests", "web-1", 1, "a", "b"), pod("requests", "web-1", 2), pod("requests", "web-1", 3, "a", "b")},
			want:  []string{"requests /pods shop/web-1 map[] Number2", "requests /pods shop/web-1 map[a:b] Number1"},
			step:  "LeftOut: 2 values are about objects; left out: 1 that were given twice (first pods shop/web-1)",
			ready: "Serving",
		},
		"names that no request can have": {
			given: []query.ObjectValue{pod("a/b", "web-1", 1), pod("requests", "", 1), pod("requests", "*", 1)},
			step:  "LeftOut: 0 values are about objects; left out: 3 without a usable name of metric, resource or object (first pods shop/web-1)",
			ready: "ValueMissing",
		},
		"not a number stays so": {
			given: []query.ObjectValue{{Resource: "pods", Namespace: "shop", Name: "web-1", Gauge: query.Gauge{Presence: query.Number, Value: math.Inf(1)}}},
			want:  []string{"requests /pods shop/web-1 map[] NotANumber0"},
			step:  "Measured: 1 values are about objects", ready: "Serving",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := about(test.given...)
			if test.change != nil {
				test.change(&s)
			}
			d := query.Decide(s, query.State{})
			var got []string
			for _, v := range d.Served.Objects.Values {
				got = append(got, lineOf(v))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.step, objectStep(d)); diff != "" {
				t.Errorf("step (-want +got):\n%s", diff)
			}
			if d.Reason != test.ready {
				t.Errorf("Ready is %s (%s), want %s", d.Reason, d.Message, test.ready)
			}
			if d.Served.Objects.Count != len(got) || (d.Served.Objects.Digest == "") != (len(got) == 0) {
				t.Errorf("count %d, digest %q of %d values", d.Served.Objects.Count, d.Served.Objects.Digest, len(got))
			}
		})
	}
}

// TestAMetricOfObjectsAndOfItsOwn: pods whose values are also one value together
// are served both ways.
func TestAMetricOfObjectsAndOfItsOwn(t *testing.T) {
	s := about(pod("", "web-1", 1), pod("", "web-2", 2))
	s.Poll.Reading.Gauges = map[query.Kind]query.Gauge{query.Value: query.NumberOf(3)}
	d := query.Decide(s, query.State{})
	if len(d.Served.Samples) != 1 || d.Served.Samples[0].Value != 3 || d.Served.Objects.Count != 2 {
		t.Errorf("served %+v", d.Served)
	}
}

func TestWhatIsServedIsPublishedWhenAnObjectChanges(t *testing.T) {
	s := about(pod("requests", "web-1", 1))
	state := query.Commit(query.State{}, query.Decide(s, query.State{}), decision.Outcome{Result: decision.Succeeded})
	if d := query.Decide(s, state); d.Act {
		t.Error("the same reading is published again")
	}
	for name, change := range map[string]func(*query.ObjectValue){
		"value":    func(v *query.ObjectValue) { v.Value = 2 },
		"presence": func(v *query.ObjectValue) { v.Gauge = query.Gauge{Presence: query.Empty} },
		"time":     func(v *query.ObjectValue) { v.At = epoch.Add(time.Second) },
		"window":   func(v *query.ObjectValue) { v.WindowSeconds = 60 },
		"labels":   func(v *query.ObjectValue) { v.Labels = map[string]string{"a": "b"} },
		"name":     func(v *query.ObjectValue) { v.Name = "web-2" },
		"group":    func(v *query.ObjectValue) { v.Group = "apps" },
	} {
		t.Run(name, func(t *testing.T) {
			v := pod("requests", "web-1", 1)
			change(&v)
			if d := query.Decide(about(v), state); !d.Act {
				t.Error("the change is not published")
			}
		})
	}
}

func TestServeObject(t *testing.T) {
	facts := query.Facts{Source: "MetricSource shop/web (prometheus)", MaxAge: time.Minute, SampledAt: epoch}
	old := pod("requests", "web-1", 5)
	old.At = epoch.Add(-50 * time.Second)
	for name, test := range map[string]struct {
		value query.ObjectValue
		facts func(*query.Facts)
		after time.Duration
		want  string
	}{
		"a zero that was measured":  {value: pod("requests", "web-1", 0), want: "0"},
		"as old as maxAge":          {value: pod("requests", "web-1", 4), after: time.Minute, want: "4"},
		"older than maxAge":         {value: pod("requests", "web-1", 4), after: time.Minute + time.Second, want: "Stale: the last sample is 1m1s old"},
		"older by its own time":     {value: old, after: 20 * time.Second, want: "Stale: the last sample is 1m10s old"},
		"by its own time still new": {value: old, want: "5"},
		"its own time, held": {
			value: old, after: time.Hour, want: "5",
			facts: func(f *query.Facts) { f.OnStale = query.OnStale{Policy: query.StaleHold} },
		},
		"its own time, floored": {
			value: old, after: time.Hour, want: "9",
			facts: func(f *query.Facts) { f.OnStale = query.OnStale{Policy: query.StaleFloor, Floor: 9} },
		},
		"no number":     {value: query.ObjectValue{Metric: "requests", Resource: "pods", Namespace: "shop", Name: "w", Gauge: query.NumberOf(math.NaN())}, want: "NotANumber: the source answered with a value of requests for pods shop/w"},
		"an empty one":  {value: query.ObjectValue{Metric: "requests", Resource: "nodes", Name: "n", Gauge: query.Gauge{Presence: query.Empty}}, want: "EmptyReply: the source answered without a value of requests for nodes n"},
		"an absent one": {value: query.ObjectValue{Metric: "requests", Resource: "jobs", Group: "batch", Namespace: "shop", Name: "j"}, want: "ValueNotGiven: the source does not give requests for jobs.batch shop/j"},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts
			if test.facts != nil {
				test.facts(&f)
			}
			value, fault := query.ServeObject(test.value, f, epoch.Add(test.after))
			got := fmt.Sprint(value)
			if fault != nil {
				got = fault.Reason + ": " + fault.Message
				if value != 0 || fault.Source != f.Source {
					t.Errorf("a fault with value %v and source %q", value, fault.Source)
				}
			}
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// manyObjects are values about so many pods, changed by turn.
func manyObjects(n, turn int) []query.ObjectValue {
	out := make([]query.ObjectValue, 0, n)
	for i := range n {
		v := pod("requests", fmt.Sprintf("web-%06d", i), float64(i%7))
		if i%100 == turn%100 {
			v.Value += float64(turn)
		}
		out = append(out, v)
	}
	return out
}

// TestObjectsAreReplayedFromALedgerOfWhatChanged records many turns with many
// values, few of which change, decides them again, and bounds the ledger's size.
func TestObjectsAreReplayedFromALedgerOfWhatChanged(t *testing.T) {
	const turns, objects = 40, 1000
	dir := t.TempDir()
	w, err := ledger.Open[query.Snapshot, query.State, query.Decision](ledger.Config{Dir: dir, Component: query.Component, Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r, state := rand.New(rand.NewPCG(3, 3)), query.State{}
	for turn := range turns {
		values := manyObjects(objects, turn)
		if turn%5 == 0 { // an order of its own, foreigners, doubles, values of every sort
			r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
			foreign := pod("requests", "a", 1)
			foreign.Namespace = "other"
			labelled := pod("", "b", 2, "x", "y", "a", "b")
			labelled.At, labelled.WindowSeconds = epoch.Add(time.Millisecond), 60
			values = append(values, foreign, labelled, labelled, values[0],
				query.ObjectValue{Resource: "pods", Namespace: "shop", Name: "c", Gauge: randomGauge(r)})
		}
		s := about(values...)
		s.Now = epoch.Add(time.Duration(turn) * time.Second)
		s.Poll.Reading.At = s.Now
		d := query.Decide(s, state)
		entry := loop.Entry[query.Snapshot, query.State, query.Decision]{Snapshot: s, Before: state, Decision: d, Outcome: decision.Outcome{Result: decision.Succeeded}}
		if err := w.Record(entry); err != nil {
			t.Fatal(err)
		}
		state = query.Commit(state, d, entry.Outcome)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := ledger.Files(dir, query.Component)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files of ledger: %v", len(files), err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	report, err := ledger.Replay(bytes.NewReader(raw), query.Rules)
	if err != nil || report.Decisions != turns || len(report.Differences) > 0 {
		t.Fatalf("%d decisions, %v, differences %+v", report.Decisions, err, report.Differences)
	}
	// One keyframe of 1000 values, and some 20 changed values in each turn after.
	if most := 120 * 1024; len(raw) > most {
		t.Errorf("the ledger has %d bytes, more than %d", len(raw), most)
	}
}

// FuzzObjectValues decodes anything, and what was decoded is encoded and decoded
// again without a change.
func FuzzObjectValues(f *testing.F) {
	seed, err := json.Marshal(query.ObjectValues{
		pod("requests", "web-1", 1.5, "a", "b"), pod("requests", "web-1", 2), pod("requests", "web-1", 3),
		{Resource: "deployments", Group: "apps", Namespace: "shop", Name: "d", Gauge: query.Gauge{Presence: query.Empty}, At: epoch, WindowSeconds: 30},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var first, second query.ObjectValues
		if json.Unmarshal(raw, &first) != nil {
			return
		}
		encoded, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encoded, &second); err != nil {
			t.Fatalf("%v of %s", err, encoded)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("after encoding again (-want +got):\n%s", diff)
		}
	})
}

// BenchmarkDecideObjects is one turn of an object with 5,000 values.
func BenchmarkDecideObjects(b *testing.B) {
	s := about(manyObjects(5000, 0)...)
	b.ReportAllocs()
	for b.Loop() {
		query.Decide(s, query.State{})
	}
}
