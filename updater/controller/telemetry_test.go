package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/metrics/updater"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// described are the names and labels of metrics whose names begin so, as
// "name labels".
func described(collectors []prometheus.Collector) []string {
	var out []string
	for _, c := range collectors {
		ch := make(chan *prometheus.Desc, 1)
		c.Describe(ch)
		text := (<-ch).String()
		_, name, _ := strings.Cut(text, `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		_, labels, _ := strings.Cut(text, "variableLabels: ")
		out = append(out, name+" "+strings.TrimSuffix(labels, "}"))
	}
	slices.Sort(out)
	return out
}

// registered takes what upstream registers.
type registered struct{ all []prometheus.Collector }

func (r *registered) Register(c prometheus.Collector) error  { r.all = append(r.all, c); return nil }
func (r *registered) MustRegister(c ...prometheus.Collector) { r.all = append(r.all, c...) }
func (r *registered) Unregister(prometheus.Collector) bool   { return false }

// TestMetricsAreUpstreams compares names and labels with upstream's own. Two are
// ours besides.
func TestMetricsAreUpstreams(t *testing.T) {
	theirs := &registered{}
	before := prometheus.DefaultRegisterer
	prometheus.DefaultRegisterer = theirs
	upstream.Register()
	prometheus.DefaultRegisterer = before
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	want := append(described(theirs.all), "vpa_updater_wanted_updates {", "vpa_updater_objects {reason}")
	slices.Sort(want)
	got := described(m.collectors())
	for _, all := range [][]string{want, got} {
		for i := range all {
			all[i] = strings.NewReplacer("{", "", "}", "").Replace(all[i])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-upstream +ours):\n%s", diff)
	}
}

func TestPassIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	unit := func(name string) decision.Unit {
		return decision.Unit{Kind: eviction.Kind, Namespace: "shop", Name: name}
	}
	recreate := eviction.Decision{Pods: 5, UpdateMode: vpav1.UpdateModeRecreate, Candidates: make([]eviction.Candidate, 3)}
	recreate.Unit, recreate.Reason, recreate.To = unit("a"), eviction.ReasonEvict, 2
	resizes := eviction.Decision{Pods: 2, UpdateMode: vpav1.UpdateModeInPlace, Candidates: make([]eviction.Candidate, 1), Skipped: make([]eviction.PodRef, 1)}
	resizes.Unit, resizes.Reason, resizes.To = unit("b"), eviction.ReasonResize, 1
	away := eviction.Decision{UpdateMode: vpav1.UpdateModeRecreate}
	away.Unit, away.Reason = unit("c"), eviction.ReasonAdmissionAway
	m.tried(recreate, []eviction.Result{{Pod: "x"}, {Pod: "y", Error: "no"}})
	m.tried(resizes, []eviction.Result{{Pod: "z", Resize: true}, {Pod: "u", Resize: true, Error: "never", NeverFits: true}, {Pod: "v", Resize: true, Error: "no"}})
	m.passed(map[decision.Unit]eviction.Decision{recreate.Unit: recreate, resizes.Unit: resizes, away.Unit: away}, time.Second)
	want := `
vpa_updater_admission_controller_status_invalid_total{reason="invalid"} 1
vpa_updater_controlled_pods_total{update_mode="InPlace",vpa_size_log2="1"} 2
vpa_updater_controlled_pods_total{update_mode="Recreate",vpa_size_log2="2"} 5
vpa_updater_evictable_pods_total{update_mode="Recreate",vpa_size_log2="2"} 3
vpa_updater_evicted_pods_total{update_mode="Recreate",vpa_name="a",vpa_namespace="shop",vpa_size_log2="2"} 1
vpa_updater_failed_eviction_attempts_total{reason="EvictionError",update_mode="Recreate",vpa_name="a",vpa_namespace="shop",vpa_size_log2="2"} 1
vpa_updater_failed_in_place_update_attempts_total{reason="InPlaceUpdateError",vpa_name="b",vpa_namespace="shop",vpa_size_log2="1"} 1
vpa_updater_failed_in_place_update_attempts_total{reason="InPlaceUpdateInfeasible",vpa_name="b",vpa_namespace="shop",vpa_size_log2="1"} 1
vpa_updater_in_place_infeasible_skip_pods_total{vpa_name="b",vpa_namespace="shop",vpa_size_log2="1"} 1
vpa_updater_in_place_updatable_pods_total{vpa_size_log2="1"} 1
vpa_updater_in_place_updated_pods_total{vpa_name="b",vpa_namespace="shop",vpa_size_log2="1"} 1
vpa_updater_objects{reason="AdmissionAway"} 1
vpa_updater_objects{reason="Evict"} 1
vpa_updater_objects{reason="Resize"} 1
vpa_updater_vpas_with_evictable_pods_total{update_mode="Recreate",vpa_size_log2="2"} 1
vpa_updater_vpas_with_evicted_pods_total{update_mode="Recreate",vpa_size_log2="2"} 1
vpa_updater_vpas_with_in_place_updatable_pods_total{vpa_size_log2="1"} 1
vpa_updater_vpas_with_in_place_updated_pods_total{vpa_size_log2="1"} 1
vpa_updater_wanted_updates 3
`
	m.pass.Reset()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&shown, f); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for line := range strings.Lines(shown.String()) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(want), "\n"), got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
