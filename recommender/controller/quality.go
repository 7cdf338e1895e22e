package controller

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// quality measures recommendations against the usage that comes after them, under
// upstream's names. CPU is in cores and memory in bytes.
type quality struct {
	relative, changes                 *prometheus.HistogramVec
	missing                           *prometheus.CounterVec
	cpuOver, cpuUnder                 *prometheus.HistogramVec
	memoryOver, memoryUnder           *prometheus.HistogramVec
	cpuRecommended, memoryRecommended *prometheus.HistogramVec
}

// The labels of the metrics of quality.
const (
	modeLabel     = "update_mode"
	resourceLabel = "resource"
	oomLabel      = "is_oom"
	missingLabel  = "recommendation_missing"
)

func newQuality(registry prometheus.Registerer) (*quality, error) {
	cores, bytes := prometheus.ExponentialBuckets(0.01, 2, 17), prometheus.ExponentialBuckets(1e6, 2, 17)
	relative := []float64{
		-1, -.75, -.5, -.25, -.1, -.05, -.025, -.01, -.005, -.0025, -.001, 0,
		.001, .0025, .005, .01, .025, .05, .1, .25, .5, .75, 1, 2.5, 5, 10, 25, 50, 100,
	}
	var all []prometheus.Collector
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "vpa_quality", Name: name, Help: help, Buckets: buckets,
		}, labels)
		all = append(all, h)
		return h
	}
	q := &quality{
		relative: histogram("usage_recommendation_relative_diffs", "Usage less the recommendation, as a part of the recommendation.",
			relative, modeLabel, resourceLabel, oomLabel),
		changes: histogram("relative_recommendation_changes", "A recommendation less the one before, as a part of that one.",
			relative, modeLabel, resourceLabel, "vpa_size_log2"),
		cpuOver: histogram("cpu_recommendation_over_usage_diffs_cores", "CPU recommended less CPU used, where more is recommended.",
			cores, modeLabel, missingLabel),
		cpuUnder: histogram("cpu_recommendation_lower_equal_usage_diffs_cores", "CPU used less CPU recommended, where no more is recommended.",
			cores, modeLabel, missingLabel),
		memoryOver: histogram("mem_recommendation_over_usage_diffs_bytes", "Memory recommended less memory used, where more is recommended.",
			bytes, modeLabel, missingLabel, oomLabel),
		memoryUnder: histogram("mem_recommendation_lower_equal_usage_diffs_bytes", "Memory used less memory recommended, where no more is recommended.",
			bytes, modeLabel, missingLabel, oomLabel),
		cpuRecommended:    histogram("cpu_recommendations_cores", "CPU recommended, at each usage.", cores, modeLabel),
		memoryRecommended: histogram("mem_recommendations_bytes", "Memory recommended, at each usage.", bytes, modeLabel, oomLabel),
		missing: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "vpa_quality", Name: "usage_sample_missing_recommendation_count", Help: "Usages of containers without a recommendation.",
		}, []string{modeLabel, resourceLabel, oomLabel}),
	}
	for _, c := range append(all, q.missing) {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// usage is one that a recommendation is held against.
type usage struct {
	mode, resource string
	amount         int64
	oom            bool
}

// observe measures what a decision learned against what was recommended before,
// and that against what is recommended now.
func (q *quality) observe(vpa *vpav1.VerticalPodAutoscaler, d estimator.Decision, pods int) {
	mode := ""
	if p := vpa.Spec.UpdatePolicy; p != nil && p.UpdateMode != nil {
		mode = string(*p.UpdateMode)
	}
	before := map[string]estimator.Amounts{}
	for _, c := range d.From {
		before[c.Container] = c.Uncapped
	}
	for _, samples := range d.Observed.Samples {
		for container, used := range samples.Containers {
			if off(vpa, container) {
				continue
			}
			for _, name := range []string{estimator.CPU, estimator.Memory} {
				if amount := used.Of(name); amount != nil {
					recommended := before[container]
					q.hold(usage{mode: mode, resource: name, amount: *amount}, recommended.Of(name))
				}
			}
		}
	}
	for _, kills := range d.Observed.Kills {
		for container, kill := range kills {
			if !off(vpa, container) {
				q.hold(usage{mode: mode, resource: estimator.Memory, amount: kill.Asked, oom: true}, before[container].Memory)
			}
		}
	}
	for _, c := range d.To {
		for _, name := range []string{estimator.CPU, estimator.Memory} {
			was, is := before[c.Container].Of(name), c.Uncapped.Of(name)
			if was != nil && is != nil && *was > 0 {
				q.changes.WithLabelValues(mode, name, strconv.Itoa(max(0, bits.Len(uint(pods))-1))).Observe(float64(*is)/float64(*was) - 1)
			}
		}
	}
}

// hold measures one usage against what was recommended, nil or 0 where nothing was.
func (q *quality) hold(u usage, recommended *int64) {
	unit := 1.0
	if u.resource == estimator.CPU {
		unit = 1000
	}
	used, least, missing, oom := float64(u.amount)/unit, 0.0, true, strconv.FormatBool(u.oom)
	if recommended != nil && *recommended > 0 {
		least, missing = float64(*recommended)/unit, false
		q.relative.WithLabelValues(u.mode, u.resource, oom).Observe((used - least) / least)
	} else {
		q.missing.WithLabelValues(u.mode, u.resource, oom).Inc()
	}
	without, diff := strconv.FormatBool(missing), math.Abs(used-least)
	over, under, recommendations := q.cpuOver, q.cpuUnder, q.cpuRecommended
	labels, of := []string{u.mode, without}, []string{u.mode}
	if u.resource == estimator.Memory {
		over, under, recommendations = q.memoryOver, q.memoryUnder, q.memoryRecommended
		labels, of = append(labels, oom), append(of, oom)
	}
	if least > used {
		over.WithLabelValues(labels...).Observe(diff)
	} else {
		under.WithLabelValues(labels...).Observe(diff)
	}
	if !missing {
		recommendations.WithLabelValues(of...).Observe(least)
	}
}

// off tells whether the container gets no recommendation, by its policy.
func off(vpa *vpav1.VerticalPodAutoscaler, container string) bool {
	if vpa.Spec.ResourcePolicy == nil {
		return false
	}
	others := false
	for i := range vpa.Spec.ResourcePolicy.ContainerPolicies {
		p := &vpa.Spec.ResourcePolicy.ContainerPolicies[i]
		isOff := p.Mode != nil && *p.Mode == vpav1.ContainerScalingModeOff
		switch p.ContainerName {
		case container:
			return isOff
		case vpav1.DefaultContainerResourcePolicy:
			others = isOff
		}
	}
	return others
}
