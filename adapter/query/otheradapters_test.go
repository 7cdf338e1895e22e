package query_test

import (
	"fmt"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// TestBesideOtherAdapters: the one for external metrics and the one for custom
// metrics need not be the same.
func TestBesideOtherAdapters(t *testing.T) {
	both := func(s *query.Snapshot) {
		s.Poll.Reading.Gauges = map[query.Kind]query.Gauge{query.Value: query.NumberOf(3)}
	}
	for name, test := range map[string]struct {
		external, custom string
		change           func(*query.Snapshot)
		act              bool
		objects          int
		ready, read      string
	}{
		"none":                         {change: both, act: true, objects: 1, ready: "Serving", read: "3"},
		"external, of objects only":    {external: "keda/keda", act: true, objects: 1, ready: "Serving"},
		"external, of both":            {external: "keda/keda", change: both, act: true, objects: 1, ready: "OtherAdapterServes", read: "OtherAdapterServes"},
		"custom, of objects only":      {custom: "m/prometheus-adapter", act: true, ready: "OtherAdapterServes"},
		"custom, of both":              {custom: "m/prometheus-adapter", change: both, act: true, ready: "Serving", read: "3"},
		"both, of both":                {external: "keda/keda", custom: "m/prometheus-adapter", change: both, ready: "OtherAdapterServes", read: "OtherAdapterServes"},
		"external, of none of objects": {external: "keda/keda", change: func(s *query.Snapshot) { both(s); s.Poll.Reading.Objects = nil }, ready: "OtherAdapterServes", read: "OtherAdapterServes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := about(pod("requests", "web-1", 1))
			if test.change != nil {
				test.change(&s)
			}
			s.OtherAdapter, s.OtherCustomAdapter = test.external, test.custom
			d := query.Decide(s, query.State{})
			if d.Act != test.act || d.Served.Objects.Count != test.objects || d.Reason != test.ready {
				t.Errorf("act %t, %d objects, Ready %s: %s", d.Act, d.Served.Objects.Count, d.Reason, d.Message)
			}
			read := ""
			for _, sample := range d.Served.Samples {
				served, fault := query.Serve(sample, d.Served.Facts, s.Now)
				if read = fmt.Sprint(served.Value); fault != nil {
					read = fault.Reason
				}
			}
			if read != test.read {
				t.Errorf("a read gives %q, want %q", read, test.read)
			}
		})
	}
}

// TestAnotherAdapterTakesOver: what was served until then is answered with the
// reason at once, and neither held nor stale while the source is read.
func TestAnotherAdapterTakesOver(t *testing.T) {
	s := about()
	s.Poll.Reading.Gauges = map[query.Kind]query.Gauge{query.Value: query.NumberOf(3)}
	state := query.Commit(query.State{}, query.Decide(s, query.State{}), decision.Outcome{Result: decision.Succeeded})
	if len(state.Served.Samples) == 0 {
		t.Fatal("nothing is served before")
	}
	s.OtherAdapter = "keda/keda"
	d := query.Decide(s, state)
	if _, fault := query.Serve(d.Served.Samples[0], d.Served.Facts, s.Now); !d.Act || fault == nil || fault.Reason != query.ReasonOtherWriter {
		t.Errorf("act %t, and a read gives %v", d.Act, fault)
	}
	state = query.Commit(state, d, decision.Outcome{Result: decision.Succeeded})
	if d := query.Decide(s, state); d.Act {
		t.Error("it is published again and again")
	}
	s.OtherAdapter = ""
	if d := query.Decide(s, state); !d.Act {
		t.Error("it is not served again")
	}
}
