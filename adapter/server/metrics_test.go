package server

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

type summary struct{}

func (summary) Summary() map[decision.Status]int { return map[decision.Status]int{decision.True: 2} }
func (summary) Queries() int                     { return 2 }
func (summary) Away() map[string]int             { return map[string]int{"redis": 1} }

// TestOwnMetrics: what the collector tells is counted by kind, and by no name of
// an object.
func TestOwnMetrics(t *testing.T) {
	m := newOwnMetrics()
	registry := prometheus.NewRegistry()
	for _, c := range append(m.all(), &stateMetrics{table: table.New(), summarizer: summary{}, clock: clocktesting.NewFakePassiveClock(epoch)}) {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	m.Polled(collector.Polled{Kind: "redis", Result: "success", Took: time.Millisecond, Waited: time.Second, Age: 2 * time.Second})
	m.Polled(collector.Polled{Kind: "redis", Result: "Timeout", Took: time.Second})
	m.HeldBack("redis")
	m.Pushed("redis")
	m.WatchEnded("redis", "Unreachable")
	want := `
# HELP quartet_adapter_polls_held_back_total Polls that were not made since their server does not answer and one poll at a time tries it, by kind of source.
# TYPE quartet_adapter_polls_held_back_total counter
quartet_adapter_polls_held_back_total{kind="redis"} 1
# HELP quartet_adapter_polls_total Polls of sources, by kind of source and result: success or the failure's reason.
# TYPE quartet_adapter_polls_total counter
quartet_adapter_polls_total{kind="redis",result="Timeout"} 1
quartet_adapter_polls_total{kind="redis",result="success"} 1
# HELP quartet_adapter_push_watches_ended_total Watches for such words that ended and are begun again, by kind of source and reason.
# TYPE quartet_adapter_push_watches_ended_total counter
quartet_adapter_push_watches_ended_total{kind="redis",reason="Unreachable"} 1
# HELP quartet_adapter_pushes_total Words of sources that something changed, by kind of source. Polls follow them, several words being followed by one.
# TYPE quartet_adapter_pushes_total counter
quartet_adapter_pushes_total{kind="redis"} 1
# HELP quartet_adapter_servers_away Servers that did not answer several polls in a row and are tried by one poll at a time, by kind of source.
# TYPE quartet_adapter_servers_away gauge
quartet_adapter_servers_away{kind="redis"} 1
`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"quartet_adapter_polls_held_back_total", "quartet_adapter_polls_total", "quartet_adapter_push_watches_ended_total",
		"quartet_adapter_pushes_total", "quartet_adapter_servers_away")
	if err != nil {
		t.Error(err)
	}
	for name, count := range map[string]uint64{
		"quartet_adapter_poll_duration_seconds": 2, "quartet_adapter_poll_wait_seconds": 2, "quartet_adapter_reading_age_seconds": 1,
	} {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := uint64(0)
		for _, f := range families {
			if f.GetName() == name {
				found = f.GetMetric()[0].GetHistogram().GetSampleCount()
			}
		}
		if found != count {
			t.Errorf("%s holds %d samples, want %d", name, found, count)
		}
	}
}
