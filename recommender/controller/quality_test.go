package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	upstreamquality "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/metrics/quality"
	upstreammetrics "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/metrics/recommender"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

func amount(v int64) *int64 { return &v }

// turnOf is a decision on one object with a sample of two containers and a kill.
func turnOf() estimator.Decision {
	d := estimator.Decision{}
	d.Unit = decision.Unit{Namespace: "shop", Name: "orders"}
	d.At = time.Unix(1000, 0)
	d.From = estimator.Recommendation{{Container: "app", Uncapped: estimator.Amounts{CPU: amount(200), Memory: amount(100)}}}
	d.To = estimator.Recommendation{{Container: "app", Uncapped: estimator.Amounts{CPU: amount(300), Memory: amount(100)}}}
	used := estimator.Amounts{CPU: amount(100), Memory: amount(400)}
	d.Observed.Samples = map[string]estimator.Samples{"orders-1": {Containers: map[string]estimator.Amounts{"app": used, "new": used, "off": used}}}
	d.Observed.Kills = map[string]map[string]estimator.Kill{"orders-1": {"app": {Asked: 500}}}
	return d
}

func TestQualityOfRecommendations(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	object, scalingOff, mode := vpa("orders"), vpav1.ContainerScalingModeOff, vpav1.UpdateModeInitial
	object.Spec.UpdatePolicy = &vpav1.PodUpdatePolicy{UpdateMode: &mode}
	object.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{ContainerPolicies: []vpav1.ContainerResourcePolicy{{ContainerName: "off", Mode: &scalingOff}}}
	m.upstream.observe(object, turnOf(), decision.Outcome{Result: decision.Succeeded})
	want := `
# HELP vpa_quality_usage_sample_missing_recommendation_count Usages of containers without a recommendation.
# TYPE vpa_quality_usage_sample_missing_recommendation_count counter
vpa_quality_usage_sample_missing_recommendation_count{is_oom="false",resource="cpu",update_mode="Initial"} 1
vpa_quality_usage_sample_missing_recommendation_count{is_oom="false",resource="memory",update_mode="Initial"} 1
# HELP vpa_recommender_vpa_objects_count VPAs that this recommender serves, by what they are.
# TYPE vpa_recommender_vpa_objects_count gauge
vpa_recommender_vpa_objects_count{api="v1",has_recommendation="true",matches_pods="true",unsupported_config="false",update_mode="Initial"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"vpa_quality_usage_sample_missing_recommendation_count", "vpa_recommender_vpa_objects_count"); err != nil {
		t.Error(err)
	}
	sums := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			if h := series.GetHistogram(); h.GetSampleCount() > 0 && strings.HasPrefix(f.GetName(), "vpa_quality_") {
				sums[strings.TrimPrefix(f.GetName(), "vpa_quality_")] += h.GetSampleSum()
			}
		}
	}
	wantSums := map[string]float64{
		"usage_recommendation_relative_diffs": -0.5 + 3 + 4, "relative_recommendation_changes": 0.5,
		"cpu_recommendation_over_usage_diffs_cores": 0.1, "cpu_recommendation_lower_equal_usage_diffs_cores": 0.1,
		"mem_recommendation_lower_equal_usage_diffs_bytes": 300 + 400 + 400,
		"cpu_recommendations_cores":                        0.2, "mem_recommendations_bytes": 200,
	}
	if diff := cmp.Diff(wantSums, sums); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	m.upstream.count(turnOf().Unit, nil)
	if left := testutil.ToFloat64(m.upstream.objects.WithLabelValues("Initial", "true", "v1", "true", "false")); left != 0 {
		t.Errorf("an object that is gone counts as %v", left)
	}
}

// TestMetricsHaveUpstreamsNames wants each metric of upstream's recommender, with its
// labels.
func TestMetricsHaveUpstreamsNames(t *testing.T) {
	theirs := described(t, func() {
		upstreammetrics.Register()
		upstreamquality.Register()
	})
	own := prometheus.NewRegistry()
	registered := &describing{Registerer: own}
	if _, err := newMetrics(registered); err != nil {
		t.Fatal(err)
	}
	for _, want := range theirs {
		if !slices.Contains(registered.all, want) {
			t.Errorf("there is no %s", want)
		}
	}
}

// describing notes the names and labels of what is registered.
type describing struct {
	prometheus.Registerer
	all []string
}

// Register notes and registers.
func (r *describing) Register(c prometheus.Collector) error {
	descriptions := make(chan *prometheus.Desc, 10)
	c.Describe(descriptions)
	close(descriptions)
	for d := range descriptions {
		text := d.String()
		name, _, _ := strings.Cut(strings.TrimPrefix(text, `Desc{fqName: "`), `"`)
		_, labels, _ := strings.Cut(text, "variableLabels: ")
		r.all = append(r.all, name+" "+strings.TrimSuffix(labels, "}"))
	}
	return r.Registerer.Register(c)
}

// MustRegister notes and registers.
func (r *describing) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// described are the metrics that a function registers by default.
func described(t *testing.T, register func()) []string {
	t.Helper()
	before := prometheus.DefaultRegisterer
	r := &describing{Registerer: prometheus.NewRegistry()}
	prometheus.DefaultRegisterer = r
	defer func() { prometheus.DefaultRegisterer = before }()
	register()
	if len(r.all) < 10 {
		t.Fatalf("found %d metrics only", len(r.all))
	}
	return r.all
}
