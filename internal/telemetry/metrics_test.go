package telemetry

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

// registryWith makes a registry of gauges by name, each with the value.
func registryWith(value float64, names ...string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	for _, name := range names {
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: name})
		gauge.Set(value)
		registry.MustRegister(gauge)
	}
	return registry
}

func TestFirstOfGivesEachFamilyOnce(t *testing.T) {
	failing := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		return nil, errors.New("scrape failed")
	})
	families, err := firstOf{registryWith(1, "shared", "zebra"), failing, registryWith(2, "shared", "apple")}.Gather()
	if err == nil {
		t.Error("the failing registry's error is gone")
	}
	got := map[string]float64{}
	var order []string
	for _, family := range families {
		order = append(order, family.GetName())
		got[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
	}
	if diff := cmp.Diff([]string{"apple", "shared", "zebra"}, order); diff != "" {
		t.Errorf("order -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"apple": 2, "shared": 1, "zebra": 1}, got); diff != "" {
		t.Errorf("values -want +got:\n%s", diff)
	}
}

// The three real registries all hold the Go collector: gathered together they
// must not contradict one another.
func TestGathererHasNoDuplicates(t *testing.T) {
	families, err := Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, family := range families {
		if seen[family.GetName()] {
			t.Errorf("family %s is gathered twice", family.GetName())
		}
		seen[family.GetName()] = true
	}
	if !seen["go_goroutines"] {
		t.Error("go_goroutines is missing")
	}
}

func TestBuildInfo(t *testing.T) {
	if got := testutil.ToFloat64(BuildInfo("hpa-controller")); got != 1 {
		t.Errorf("quartet_build_info = %v, want 1", got)
	}
}
