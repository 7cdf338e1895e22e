package query_test

import (
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// TestMissingPartsAreSaid serves what a source gave and says what it did not.
func TestMissingPartsAreSaid(t *testing.T) {
	s := newStage(t)
	s.snapshot.Now = epoch
	s.snapshot.Spec.Metrics = nil
	reading := query.Reading{At: epoch, Objects: query.ObjectValues{{
		Metric: "requests", Resource: "pods", Namespace: "shop", Name: "a", Gauge: query.NumberOf(7),
	}}}
	s.snapshot.Poll.Reading = &reading
	whole := query.Decide(s.snapshot, s.state)
	if c, _ := whole.Find(query.ConditionReady); c.Status != decision.True {
		t.Errorf("a whole reading is %+v", c)
	}
	reading.Faults = []decision.Fault{{Reason: "QueryRefused", Message: "rules[1]: the server refused the query"}}
	d := query.Decide(s.snapshot, s.state)
	if len(d.Served.Objects.Values) != 1 {
		t.Errorf("served are %+v", d.Served.Objects)
	}
	c, _ := d.Find(query.ConditionReady)
	if c.Status != decision.False || c.Reason != "ValueMissing" || !strings.Contains(c.Message, "rules[1]: the server refused the query (QueryRefused)") {
		t.Errorf("condition Ready is %+v", c)
	}
	if len(d.Faults) != 1 || !strings.Contains(d.Faults[0].Source, "orders") {
		t.Errorf("the faults are %+v", d.Faults)
	}
	s.snapshot.Now = epoch.Add(time.Hour)
	if c, _ := query.Decide(s.snapshot, s.state).Find(query.ConditionReady); c.Reason != query.ReasonStale {
		t.Errorf("an hour later condition Ready is %+v", c)
	}
}
