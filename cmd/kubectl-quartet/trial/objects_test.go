package trial

import (
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// A value about an object is judged by its own time, as a read would judge it.
func TestValuesAboutObjectsAreJudged(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	facts := query.Facts{Source: "MetricSource shop/orders (prometheus)", MaxAge: time.Minute, SampledAt: now}
	for want, value := range map[string]query.ObjectValue{
		"7":          {Gauge: query.NumberOf(7)},
		"8":          {Gauge: query.NumberOf(8), At: now.Add(-time.Minute)},
		"Stale":      {Gauge: query.NumberOf(9), At: now.Add(-2 * time.Minute)},
		"Empty":      {Gauge: query.Gauge{Presence: query.Empty}},
		"NotANumber": {Gauge: query.Gauge{Presence: query.NotANumber}},
	} {
		value.Metric, value.Resource, value.Namespace, value.Name = "requests", "pods", "shop", "web-1"
		if got := objectValue(value, facts, now); got.Value != want || got.Object != "pods shop/web-1" {
			t.Errorf("%+v is shown as %s of %s, want %s", value, got.Value, got.Object, want)
		}
	}
}
