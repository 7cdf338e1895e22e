package replicas

import (
	"math"
	"strings"
	"testing"
	"time"
)

// perPodCase is one metric over pods that each have a state and a sample. Times
// are seconds before now.
type perPodCase struct {
	spec    int32
	metric  Metric
	pods    []podCase
	want    int32
	percent int32
	usage   int64
	failure string
}

type podCase struct {
	phase          string
	ready          string
	started, since int
	deleting       bool
	request        int64
	// value is the sample, negative for none; age and window are the sample's.
	value       int64
	age, window int
}

func (c perPodCase) snapshot() Snapshot {
	s := plain(c.spec)
	s.Pods = map[string]Pod{}
	samples := Samples{At: s.Now, Pods: map[string]PodSample{}}
	before := func(seconds int) time.Time { return s.Now.Add(-time.Duration(seconds) * time.Second) }
	for i, p := range c.pods {
		name := podName(int32(i))
		pod := Pod{Phase: p.phase, Ready: p.ready, Deleting: p.deleting, Started: before(p.started), ReadySince: before(p.since)}
		if p.started == 0 {
			pod.Started = time.Time{}
		}
		if p.request > 0 {
			pod.Requests = map[string]int64{c.metric.Name: p.request}
		}
		s.Pods[name] = pod
		if p.value >= 0 {
			samples.Pods[name] = PodSample{Value: p.value, At: before(p.age), Window: time.Duration(p.window) * time.Second}
		}
	}
	return withMetric(s, c.metric, samples)
}

// old is a pod that has been ready for long.
func old(value int64) podCase {
	return podCase{ready: "True", started: 3600, since: 3600, request: 1000, value: value}
}

func oldPods(values ...int64) []podCase {
	var out []podCase
	for _, v := range values {
		out = append(out, old(v))
	}
	return out
}

func with(pods []podCase, more ...podCase) []podCase { return append(pods, more...) }

func TestPerPodMetrics(t *testing.T) {
	starting := podCase{ready: "False", started: 60, since: 60, request: 1000, value: 500}
	young := func(value int64, since, age int) podCase {
		return podCase{ready: "True", started: 60, since: since, request: 1000, value: value, age: age, window: 30}
	}
	memory := Metric{Type: Resource, Name: "memory", AverageUtilization: ptr(int32(50))}
	average := Metric{Type: Resource, Name: CPU, AverageValue: ptr(int64(200))}
	custom := Metric{Type: Pods, Name: "qps", AverageValue: ptr(int64(20000))}
	tests := map[string]perPodCase{
		"up": {spec: 3, metric: utilization(30), pods: oldPods(300, 500, 700), want: 5, percent: 50, usage: 500},
		"up, unready pods count as idle": {spec: 3, metric: utilization(30),
			pods: with(oldPods(500, 700), starting), want: 4, percent: 40, usage: 400},
		"up, hot and cold: the direction is held": {spec: 3, metric: utilization(50),
			pods: with(oldPods(700), starting, starting), want: 3, percent: 23, usage: 233},
		"up, a pending pod counts as idle": {spec: 3, metric: utilization(30),
			pods: with(oldPods(500, 700), podCase{phase: "Pending", request: 1000, value: -1}), want: 4, percent: 40, usage: 400},
		"up, failed and deleted pods are ignored": {spec: 3, metric: utilization(30),
			pods: with(oldPods(500, 700), podCase{phase: "Failed", request: 1000, value: 900}, podCase{deleting: true, request: 1000, value: 900, ready: "True", started: 60}),
			want: 4, percent: 60, usage: 600},
		"down": {spec: 5, metric: utilization(50), pods: oldPods(100, 300, 500, 250, 250), want: 3, percent: 28, usage: 280},
		"down, unready pods have no say": {spec: 5, metric: utilization(50),
			pods: with(oldPods(100, 300, 500, 250, 250), starting), want: 3, percent: 28, usage: 280},
		"down, missing pods count as busy": {spec: 4, metric: utilization(50),
			pods: with(oldPods(100, 100, 100), old(-1)), want: 3, percent: 32, usage: 325},
		"down, missing pods at a target over 100": {spec: 4, metric: utilization(300),
			pods: with(oldPods(1000, 1000, 1000), old(-1)), want: 2, percent: 150, usage: 1500},
		"up, missing pods count as idle": {spec: 4, metric: utilization(20),
			pods: with(oldPods(500, 500, 500), old(-1)), want: 8, percent: 37, usage: 375},
		"missing pods alone cannot turn it round": {spec: 4, metric: utilization(50),
			pods: with(oldPods(400), old(-1), old(-1), old(-1)), want: 4, percent: 85, usage: 850},
		"tolerated": {spec: 3, metric: utilization(100), pods: oldPods(1010, 1030, 1020), want: 3, percent: 102, usage: 1020},
		"truncated to whole per cent before the tolerance": {spec: 10, metric: utilization(100),
			pods: oldPods(1109, 1109, 1109), want: 10, percent: 110, usage: 1109},
		"young and ready since less than a window": {spec: 2, metric: utilization(20),
			pods: with(oldPods(500), young(500, 20, 0)), want: 3, percent: 25, usage: 250},
		"young and ready for longer": {spec: 2, metric: utilization(20),
			pods: with(oldPods(500), young(500, 50, 0)), want: 5, percent: 50, usage: 500},
		"old and unready, but was ready once": {spec: 2, metric: utilization(25),
			pods: with(oldPods(500), podCase{ready: "False", started: 3600, since: 60, request: 1000, value: 500}), want: 4, percent: 50, usage: 500},
		"old and never ready": {spec: 2, metric: utilization(25),
			pods: with(oldPods(500), podCase{ready: "False", started: 3600, since: 3590, request: 1000, value: 500}), want: 2, percent: 25, usage: 250},
		"no condition or no start is unready": {spec: 3, metric: utilization(25),
			pods: with(oldPods(500), podCase{started: 60, request: 1000, value: 500}, podCase{ready: "True", request: 1000, value: 500}), want: 3, percent: 16, usage: 166},
		"memory does not look at readiness": {spec: 2, metric: memory,
			pods: with(oldPods(1000), podCase{ready: "False", started: 60, since: 60, request: 1000, value: 1000}), want: 4, percent: 100, usage: 1000},
		"average value of a resource":  {spec: 3, metric: average, pods: oldPods(300, 500, 700), want: 8, usage: 500},
		"average value, unready":       {spec: 3, metric: average, pods: with(oldPods(300, 300), starting), want: 3, usage: 200},
		"average value, missing, down": {spec: 3, metric: average, pods: with(oldPods(100, 100), old(-1)), want: 2, usage: 133},
		"custom metric":                {spec: 3, metric: custom, pods: oldPods(30000, 30000, 30000), want: 5, usage: 30000},
		"custom metric near the largest value scales up and not down": {spec: 3, metric: custom,
			pods: oldPods(math.MaxInt64, math.MaxInt64, math.MaxInt64), want: math.MaxInt32, usage: math.MaxInt64},
		"no pods":              {spec: 3, metric: utilization(30), failure: "failed to get cpu utilization: no pods returned by selector while calculating replica count"},
		"only unready pods":    {spec: 3, metric: utilization(30), pods: []podCase{starting}, failure: "did not receive metrics for targeted pods (pods might be unready)"},
		"a request is not set": {spec: 1, metric: utilization(30), pods: []podCase{{ready: "True", started: 3600, since: 3600, value: 100}}, failure: "missing request for cpu in Pod web-0"},
		"a request of nothing": {spec: 1, metric: utilization(30), pods: []podCase{{ready: "True", started: 3600, since: 3600, value: 100, request: 0}}, failure: "missing request"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := tc.snapshot()
			a := ask(&s, 0)
			if tc.failure != "" {
				if a.failed == nil || !strings.Contains(a.failed.brief, tc.failure) {
					t.Fatalf("got %+v, want the failure %q", a.failed, tc.failure)
				}
				return
			}
			if a.failed != nil {
				t.Fatalf("failed: %+v", a.failed)
			}
			if a.replicas != tc.want || a.usage != tc.usage || a.percent != tc.percent {
				t.Errorf("got %d replicas at %d%% and %d (%s), want %d at %d%% and %d",
					a.replicas, a.percent, a.usage, a.note, tc.want, tc.percent, tc.usage)
			}
		})
	}
}

func TestTotals(t *testing.T) {
	object := func(m Metric) Metric {
		m.Type, m.Object = Object, &Target{Kind: "Service", Name: "web"}
		return m
	}
	tests := map[string]struct {
		spec, status int32
		metric       Metric
		values       []int64
		unready      int
		want         int32
		shown        int64
	}{
		"value, up":                           {3, 3, externalValue(5000), []int64{8600}, 0, 6, 8600},
		"value, down":                         {5, 5, externalValue(10000), []int64{8600}, 0, 5, 8600},
		"value, tolerated":                    {3, 3, externalValue(5000), []int64{5200}, 0, 3, 5200},
		"value, several series":               {3, 3, externalValue(5000), []int64{5000, 5000}, 0, 6, 10000},
		"value counts ready pods":             {3, 3, externalValue(5000), []int64{10000}, 1, 4, 10000},
		"value, from zero":                    {0, 0, externalValue(5000), []int64{12000}, 0, 3, 12000},
		"value, from zero at the target":      {0, 0, externalValue(5000), []int64{5000}, 0, 1, 5000},
		"value, zero stays":                   {0, 0, externalValue(5000), []int64{0}, 0, 0, 0},
		"value, overflow":                     {3, 3, externalValue(1), []int64{math.MaxInt64, math.MaxInt64}, 0, math.MaxInt32, math.MaxInt64},
		"average, up":                         {3, 3, externalAverage(2000), []int64{8600}, 0, 5, 2867},
		"average, tolerated":                  {3, 3, externalAverage(2000), []int64{6200}, 0, 3, 2067},
		"average, tolerated in a rollout":     {3, 4, externalAverage(2000), []int64{6200}, 0, 3, 1550},
		"average, nothing runs":               {0, 0, externalAverage(2000), []int64{0}, 0, 0, 0},
		"average, from zero":                  {0, 0, externalAverage(2000), []int64{5000}, 0, 3, 5000},
		"average, nothing runs yet":           {3, 0, externalAverage(2000), []int64{12000}, 0, 6, 12000},
		"average, overflow":                   {3, 3, externalAverage(1), []int64{math.MaxInt64, 1}, 0, math.MaxInt32, math.MaxInt64},
		"average, a negative sum as upstream": {3, 3, externalAverage(1000), []int64{-1}, 0, math.MaxInt32, math.MaxInt64},
		"object value":                        {3, 3, object(externalValue(5000)), []int64{10000}, 0, 6, 10000},
		"object average":                      {3, 3, object(externalAverage(2000)), []int64{8600}, 0, 5, 2867},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := plain(tc.spec)
			s.Scale.Status = tc.status
			for i := range tc.unready {
				p := s.Pods[podName(int32(i))]
				p.Ready = "False"
				s.Pods[podName(int32(i))] = p
			}
			s = withMetric(s, tc.metric, Samples{At: s.Now, Values: tc.values})
			a := ask(&s, 0)
			if a.failed != nil {
				t.Fatalf("failed: %+v", a.failed)
			}
			if a.replicas != tc.want || a.usage != tc.shown {
				t.Errorf("got %d replicas, shown %d (%s); want %d, shown %d", a.replicas, a.usage, a.note, tc.want, tc.shown)
			}
		})
	}
}

func TestFailureTexts(t *testing.T) {
	tests := map[string]struct {
		metric              Metric
		reason, brief, full string
	}{
		"resource": {utilization(50), "FailedGetResourceMetric", "failed to get cpu utilization: unable to get metrics for resource cpu: boom",
			"failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: boom"},
		"resource average": {Metric{Type: Resource, Name: CPU, AverageValue: ptr(int64(1))}, "FailedGetResourceMetric", "failed to get cpu usage: unable to get metrics for resource cpu: boom",
			"failed to get cpu resource metric value: failed to get cpu usage: unable to get metrics for resource cpu: boom"},
		"container": {Metric{Type: ContainerResource, Name: CPU, Container: "main", AverageUtilization: ptr(int32(5))}, "FailedGetContainerResourceMetric",
			"failed to get cpu utilization: unable to get metrics for resource cpu: boom",
			"failed to get main container metric value: failed to get cpu utilization: unable to get metrics for resource cpu: boom"},
		"pods": {Metric{Type: Pods, Name: "qps", AverageValue: ptr(int64(1))}, "FailedGetPodsMetric", "unable to get metric qps: boom",
			"failed to get pods metric value: unable to get metric qps: boom"},
		"object": {Metric{Type: Object, Name: "hits", TargetType: TargetValue, Value: ptr(int64(1)), Object: &Target{Kind: "Service", Name: "web"}}, "FailedGetObjectMetric",
			"unable to get metric hits on Service shop/web: boom", "failed to get object metric value: unable to get metric hits on Service shop/web: boom"},
		"external average": {externalAverage(1), "FailedGetExternalMetric", "unable to get external metric shop/depth/nil: boom",
			"failed to get depth external metric value: failed to get depth external metric: unable to get external metric shop/depth/nil: boom"},
		"external value": {externalValue(1), "FailedGetExternalMetric", "unable to get external metric shop/depth/nil: boom",
			"failed to get depth external metric value: failed to get external metric depth: unable to get external metric shop/depth/nil: boom"},
		"unknown": {Metric{Type: "Weather"}, "InvalidMetricSourceType", `unknown metric source type "Weather"`, `unknown metric source type "Weather"`},
		"no target": {Metric{Type: External, Name: "depth"}, "FailedGetExternalMetric", "invalid external metric source: neither a value target nor an average value target was set",
			"failed to get depth external metric value: invalid external metric source: neither a value target nor an average value target was set"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := withMetric(plain(3), tc.metric, Samples{Error: "boom"})
			f := ask(&s, 0).failed
			if f == nil || f.reason != tc.reason || f.brief != tc.brief || f.full != tc.full {
				t.Errorf("got  %+v\nwant %s\n%s\n%s", f, tc.reason, tc.brief, tc.full)
			}
		})
	}
}
