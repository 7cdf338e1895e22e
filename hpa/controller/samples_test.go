package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	externalfake "k8s.io/metrics/pkg/client/external_metrics/fake"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// TestOldestSeries tells the time of the oldest series of an external metric
// where the first is not the oldest.
func TestOldestSeries(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	before := func(d time.Duration) time.Time { return noon.Add(-d) }
	tests := map[string]struct {
		times      []time.Time
		at, oldest time.Time
	}{
		"one":                   {[]time.Time{noon}, noon, time.Time{}},
		"the first is oldest":   {[]time.Time{before(2), noon}, before(2), time.Time{}},
		"another is":            {[]time.Time{before(1), before(3), before(2)}, before(1), before(3)},
		"the first has no time": {[]time.Time{{}, before(3), noon}, time.Time{}, before(3)},
		"another has none":      {[]time.Time{before(1), {}}, before(1), time.Time{}},
		"none has a time":       {[]time.Time{{}, {}}, time.Time{}, time.Time{}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			client := &externalfake.FakeExternalMetricsClient{}
			client.AddReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
				list := &externalapi.ExternalMetricValueList{}
				for _, at := range c.times {
					list.Items = append(list.Items, externalapi.ExternalMetricValue{Timestamp: metav1.NewTime(at)})
				}
				return true, list, nil
			})
			s := &sampler{MetricsClients: MetricsClients{External: client}}
			got := s.sample(t.Context(), "shop", replicas.Metric{Type: replicas.External, Name: "depth"}, labels.Everything())
			want := replicas.Samples{At: c.at, Oldest: c.oldest, Values: make([]int64, len(c.times))}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
