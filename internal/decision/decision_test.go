package decision_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

func TestUnitString(t *testing.T) {
	cases := map[string]struct {
		unit decision.Unit
		want string
	}{
		"namespaced": {decision.Unit{Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: "workers", UID: "u"}, "HorizontalPodAutoscaler shop/workers"},
		"cluster":    {decision.Unit{Kind: "NodePool", Name: "general"}, "NodePool general"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.unit.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDecisionSurvivesJSON(t *testing.T) {
	type delta struct {
		Replicas int32 `json:"replicas"`
	}
	d := decision.Decision[int32, delta]{
		Component: "hpa-controller",
		Unit:      decision.Unit{Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: "workers"},
		At:        time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC),
		From:      1, To: 4, Act: true, Reason: "MetricAboveTarget",
		Steps:      []decision.Step{{Rule: "metric/external", In: "1", Out: "4", Reason: "AboveTarget", Message: "400 over a target of 100"}},
		Faults:     []decision.Fault{{Source: "resource metric cpu", Reason: "NoData", Message: "no pods reported"}},
		Conditions: []decision.Condition{{Type: "ScalingActive", Status: decision.True, Reason: "ValidMetricFound"}},
		Observed:   delta{4}, OnSuccess: delta{4},
	}
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back decision.Decision[int32, delta]
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("decision after JSON (-want +got):\n%s", diff)
	}
}

func TestFailureKeepsTheCause(t *testing.T) {
	o := decision.Failure("scale Deployment shop/workers to 4", errors.New("forbidden"))
	want := decision.Outcome{Result: decision.Failed, Error: "scale Deployment shop/workers to 4: forbidden"}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}
