package telemetry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/component-base/metrics/legacyregistry"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
)

// Registry is where the suite's own metrics are registered. It is
// controller-runtime's, so that a controller's metrics and ours agree.
var Registry prometheus.Registerer = ctrlmetrics.Registry

// Gatherer gathers controller-runtime's registry, component-base's and
// Prometheus's default one together. The Go and process collectors, and some
// client metrics, are in more than one of them: the first registry that has a
// metric family gives it.
func Gatherer() prometheus.Gatherer {
	return firstOf{ctrlmetrics.Registry, legacyregistry.DefaultGatherer, prometheus.DefaultGatherer}
}

// MetricsHandler serves what Gatherer gathers, in the format that the caller
// asks for. It does not authorize: the server that it is mounted on does.
func MetricsHandler() http.Handler {
	return promhttp.HandlerFor(Gatherer(), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// firstOf merges gatherers; a family's name belongs to the first that has it.
type firstOf []prometheus.Gatherer

// Gather returns the families sorted by name. Families that could be gathered
// are returned beside the errors of those that could not.
func (g firstOf) Gather() ([]*dto.MetricFamily, error) {
	var merged []*dto.MetricFamily
	var errs prometheus.MultiError
	taken := map[string]bool{}
	for i, gatherer := range g {
		families, err := gatherer.Gather()
		if err != nil {
			errs.Append(fmt.Errorf("gather from registry %d: %w", i, err))
		}
		for _, family := range families {
			if !taken[family.GetName()] {
				taken[family.GetName()] = true
				merged = append(merged, family)
			}
		}
	}
	slices.SortFunc(merged, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return merged, errs.MaybeUnwrap()
}

// BuildInfo is the metric quartet_build_info: always 1, with the component and
// the build as labels.
func BuildInfo(component string) prometheus.Collector {
	build := buildinfo.Get()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "quartet_build_info",
		Help: "The build that is running, as labels. Always 1.",
		ConstLabels: prometheus.Labels{
			"component":  component,
			"version":    build.Version,
			"commit":     build.Commit,
			"go_version": build.GoVersion,
		},
	}, func() float64 { return 1 })
}
