package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

func TestObjectsThatAskForWholeCores(t *testing.T) {
	const prefix, suffix = wholePrefix, wholeSuffix
	got := wholeCPU(map[string]string{
		prefix + "web" + suffix: "true", prefix + "app" + suffix: "true", prefix + "no" + suffix: "yes",
		prefix + suffix: "true", "other/app" + suffix: "true", prefix + "app": "true",
	})
	if diff := cmp.Diff([]string{"app", "web"}, got); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func TestTuningIsReadFromThePolicy(t *testing.T) {
	ratio, bytes, seconds, count := resource.MustParse("1500m"), resource.MustParse("10Mi"), int32(3600), int64(3)
	got := tuning(&vpav1.ContainerResourcePolicy{
		OOMBumpUpRatio: &ratio, OOMMinBumpUp: &bytes, MemoryAggregationIntervalSeconds: &seconds, MemoryAggregationIntervalCount: &count,
	})
	wantRatio, wantBytes := 1.5, float64(10<<20)
	want := estimator.Tuning{OOMRatio: &wantRatio, OOMBytes: &wantBytes, PeakInterval: time.Hour, PeakIntervals: 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tuning (-want +got):\n%s", diff)
	}
	if got := tuning(&vpav1.ContainerResourcePolicy{}); got != (estimator.Tuning{}) {
		t.Errorf("tuning of a policy without any: %+v", got)
	}
}
