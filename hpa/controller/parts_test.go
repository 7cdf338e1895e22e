package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

func TestOptionsRefuse(t *testing.T) {
	tests := map[string]struct {
		spoil func(*Options)
		flag  string
	}{
		"no worker":          {func(o *Options) { o.ConcurrentSyncs = 0 }, flagSyncs},
		"no period":          {func(o *Options) { o.Rules.SyncPeriod = 0 }, flagSyncPeriod},
		"negative tolerance": {func(o *Options) { o.Rules.Tolerance = -0.1 }, flagTolerance},
		"whole tolerance":    {func(o *Options) { o.Rules.Tolerance = 1 }, flagTolerance},
		"negative window":    {func(o *Options) { o.Rules.DownscaleStabilization = -1 }, flagStabilization},
		"negative delay":     {func(o *Options) { o.Rules.UpscaleDelay = -1 }, flagUpscaleDelay},
	}
	if err := NewOptions().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := NewOptions()
			tc.spoil(o)
			var refused *runtimeflags.FlagError
			if err := o.Validate(); !errors.As(err, &refused) || refused.Flag != tc.flag {
				t.Errorf("got %v, want an error that names --%s", err, tc.flag)
			}
		})
	}
}

func TestProjectHPADefaults(t *testing.T) {
	seconds := int32(60)
	hpa := &autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		MaxReplicas: 9,
		Behavior:    &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &seconds}},
	}}
	got := projectHPA(hpa, NewOptions().Rules)
	percent := defaultUtilization
	up := behavior.DefaultUp()
	up.WindowSeconds = 60
	want := replicas.HPA{
		Min: 1, Max: 9,
		Metrics:  []replicas.Metric{{Type: replicas.Resource, Name: "cpu", TargetType: "Utilization", AverageUtilization: &percent}},
		Behavior: &behavior.Behavior{Up: up, Down: behavior.DefaultDown(5 * time.Minute)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProjectPod(t *testing.T) {
	start := metav1.NewTime(time.Date(2026, 1, 2, 13, 0, 0, 0, time.FixedZone("east", 3600)))
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start},
	}}}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	if diff := cmp.Diff(replicas.Pod{Started: noon, Ready: "True", ReadySince: noon}, projectPod(pod)); diff != "" {
		t.Error(diff)
	}
	pod.Status = corev1.PodStatus{}
	if got := projectPod(pod).Phase; got != "Unknown" {
		t.Errorf("a pod without a phase is %q: it must not pass for running", got)
	}
}

func TestNewStatusKeepsWhatItIsNotTold(t *testing.T) {
	then, now := metav1.Unix(1000, 0), metav1.Unix(2000, 0)
	old := autoscalingv2.HorizontalPodAutoscalerStatus{
		CurrentReplicas: 3, DesiredReplicas: 4, LastScaleTime: &then,
		Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
			{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "A", LastTransitionTime: then},
			{Type: replicas.Recommends, Status: corev1.ConditionTrue, LastTransitionTime: then},
			{Type: autoscalingv2.ScalingLimited, Status: corev1.ConditionTrue, Reason: "B", LastTransitionTime: then},
		},
	}
	before := old.DeepCopy()
	got := newStatus(&old, replicas.Report{
		Status: replicas.Status{Scope: replicas.ScopeConditions, Withdrawn: []string{replicas.Recommends}},
		Conditions: []decision.Condition{
			{Type: replicas.AbleToScale, Status: decision.True, Reason: "C"},
			{Type: replicas.ScalingActive, Status: decision.False, Reason: "D"},
		},
	}, now)
	want := *old.DeepCopy()
	want.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{
		{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "C", LastTransitionTime: then},
		{Type: autoscalingv2.ScalingLimited, Status: corev1.ConditionTrue, Reason: "B", LastTransitionTime: then},
		{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionFalse, Reason: "D", LastTransitionTime: now},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(*before, old); diff != "" {
		t.Errorf("the old status changed:\n%s", diff)
	}
}

func TestMetricStatusWritesMemoryAsMetricsServerDoes(t *testing.T) {
	bytes, percent := int64(64<<20)*1000, int32(50)
	got := metricStatus(replicas.MetricStatus{Type: replicas.Resource, Name: "memory", AverageValue: &bytes, AverageUtilization: &percent})
	if got.Resource.Current.AverageValue.String() != "64Mi" || *got.Resource.Current.AverageUtilization != 50 || got.Type != autoscalingv2.ResourceMetricSourceType {
		t.Errorf("got %+v", got.Resource)
	}
}

func TestUsage(t *testing.T) {
	item := func(cpu ...string) *metricsapi.PodMetrics {
		m := &metricsapi.PodMetrics{}
		for i, v := range cpu {
			c := metricsapi.ContainerMetrics{Name: string(rune('a' + i)), Usage: corev1.ResourceList{}}
			if v != "" {
				c.Usage["cpu"] = resource.MustParse(v)
			}
			m.Containers = append(m.Containers, c)
		}
		return m
	}
	tests := map[string]struct {
		item      *metricsapi.PodMetrics
		container string
		want      int64
		ok        bool
	}{
		"sum":                       {item("100m", "1"), "", 1100, true},
		"one lacks it":              {item("100m", ""), "", 0, false},
		"no containers":             {item(), "", 0, false},
		"named":                     {item("100m", "1"), "b", 1000, true},
		"named lacks it":            {item("100m", ""), "b", 0, false},
		"another lacks it":          {item("100m", ""), "a", 100, true},
		"there is none of the name": {item("100m"), "x", 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := usage(tc.item, "cpu", tc.container)
			if ok != tc.ok || (ok && got != tc.want) {
				t.Errorf("got %d %v, want %d %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestRivals(t *testing.T) {
	pod := func(set map[string]string) []*corev1.Pod {
		return []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Labels: set}}}
	}
	web := pod(map[string]string{"app": "web", "tier": "front"})
	r := newRivals()
	put := func(name, selector string) {
		parsed, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		r.put(object{replicas.Kind, types.NamespacedName{Namespace: "shop", Name: name}}, selector, watched{selector: parsed})
	}
	put("web", "app=web")
	put("api", "app=api")
	if got := r.of("shop", web, ownership{}); got != nil {
		t.Errorf("one object alone has rivals %v", got)
	}
	put("front", "tier=front")
	put("any", "app")
	if diff := cmp.Diff([]string{"shop/any", "shop/front", "shop/web"}, r.of("shop", web, ownership{})); diff != "" {
		t.Error(diff)
	}
	if got := r.of("other", web, ownership{}); got != nil {
		t.Errorf("another namespace has rivals %v", got)
	}
	put("front", "tier=back")
	r.forget(object{replicas.Kind, types.NamespacedName{Namespace: "shop", Name: "any"}})
	if got := r.of("shop", web, ownership{}); got != nil {
		t.Errorf("a selector that moved and one that went are still found: %v", got)
	}
	if strings.Join(r.of("shop", pod(map[string]string{"app": "api", "tier": "back"}), ownership{}), " ") != "shop/api shop/front" {
		t.Error("a selector that moved is not found in its new place")
	}
}
