package conformance

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/klog/v2"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/hpa/controller"
)

// fleet is a Deployment of pods that share a load which does not change. A pod is
// ready after readyAfter, counts as available minReady later, and its sample is its
// average over the last window.
type fleet struct {
	w *world
	s *side

	now                time.Time
	surge, unavailable int
	load               float64
	template, born     int
	members            []*member
	rolling            bool
	ended              time.Time
}

type member struct {
	name           string
	template       int
	started, ready time.Time
	used           []float64
}

const (
	readyAfter = 25 * time.Second
	minReady   = time.Minute
	window     = 30
	requested  = 1000
	targeted   = 500
)

// plan is what a fleet begins with: so many pods at the load, as a part of what
// they are to have.
type plan struct {
	count, surge, unavailable int
	load                      float64
	metric                    autoscalingv2.MetricSpec
}

// newFleet makes one that is at rest.
func newFleet(p plan) *fleet {
	now := time.Now()
	w := &world{
		options: *controller.NewOptions(), now: now, pods: map[string]*corev1.Pod{},
		kind: kinds[0], scale: scaleWorld{selector: selector, manual: -1, contender: -1},
	}
	w.options.ConcurrentSyncs = 1
	w.hpa = &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "u1", Generation: 1},
		Spec: withDefaults(autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			MaxReplicas:    100, Metrics: []autoscalingv2.MetricSpec{p.metric},
		}),
	}
	f := &fleet{w: w, now: now, surge: p.surge, unavailable: p.unavailable, load: float64(p.count) * targeted * p.load, template: 1}
	for range p.count {
		m := f.add()
		m.started, m.ready = now.Add(-time.Hour), now.Add(-time.Hour)
		for range 3600 {
			m.used = append(m.used, f.load/float64(p.count))
		}
	}
	f.show(p.count)
	f.s = newSide(w, int32(p.count))
	if err := f.s.client.Tracker().Add(f.deployment()); err != nil {
		panic(err)
	}
	return f
}

func (f *fleet) add() *member {
	f.born++
	m := &member{name: fmt.Sprintf("web-%d", f.born), template: f.template, started: f.now, ready: f.now.Add(readyAfter)}
	f.members = append(f.members, m)
	return m
}

func (f *fleet) isReady(m *member) bool { return !f.now.Before(m.ready) }

func (f *fleet) isAvailable(m *member) bool { return !f.now.Before(m.ready.Add(minReady)) }

// second moves on as a Deployment's controller does.
func (f *fleet) second(asked int) {
	f.now = f.now.Add(time.Second)
	ready, available, fresh := 0, 0, 0
	for _, m := range f.members {
		if f.isReady(m) {
			ready++
		}
		if f.isAvailable(m) {
			available++
		}
		if m.template == f.template {
			fresh++
		}
	}
	for ; fresh < asked && len(f.members) < asked+f.surge; fresh++ {
		f.add()
	}
	kept := f.members[:0:0]
	for _, m := range f.members {
		gone := m.template != f.template && available > asked-f.unavailable
		if !gone && m.template == f.template && fresh > asked {
			fresh--
			gone = true
		}
		switch {
		case !gone:
			kept = append(kept, m)
		case f.isReady(m):
			ready--
		}
		if gone && f.isAvailable(m) {
			available--
		}
	}
	f.members = kept
	complete := len(f.members) == asked
	for _, m := range f.members {
		used := 0.0
		if f.isReady(m) {
			used = f.load / float64(max(ready, 1))
		}
		m.used = append(m.used, used)
		complete = complete && m.template == f.template && f.isAvailable(m)
	}
	if f.rolling && complete {
		f.rolling, f.ended = false, f.now
	}
}

// deployment is the object as its controller would show it.
func (f *fleet) deployment() *appsv1.Deployment {
	count, surge := f.s.seen[name].count, intstr.FromInt32(int32(f.surge))
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Annotations: map[string]string{"deployment.kubernetes.io/revision": fmt.Sprint(f.template)},
	}}
	d.Spec.Replicas, d.Spec.Selector = &count, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &surge}
	for _, m := range f.members {
		if d.Status.Replicas++; m.template == f.template {
			d.Status.UpdatedReplicas++
		}
	}
	c := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable", LastUpdateTime: metav1.NewTime(f.ended),
	}
	if f.rolling {
		c.Reason = "ReplicaSetUpdated"
	}
	d.Status.Conditions = []appsv1.DeploymentCondition{c}
	return d
}

// show brings the world's pods and samples to the present.
func (f *fleet) show(count int) {
	w := f.w
	w.now, w.pods, w.answers = f.now, map[string]*corev1.Pod{}, answers{pods: map[string][]customapi.MetricValue{}}
	w.answers.external = map[string][]externalapi.ExternalMetricValue{"depth": {{Timestamp: metav1.NewTime(f.now), Value: milliQuantity(int64(f.load))}}}
	w.scale.delta = int32(len(f.members) - count)
	for _, m := range f.members {
		started := metav1.NewTime(m.started)
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: m.name, UID: types.UID(m.name), Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(requested, resource.DecimalSI)}}}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started},
		}
		setReady(pod, corev1.ConditionFalse, started)
		if f.isReady(m) {
			setReady(pod, corev1.ConditionTrue, metav1.NewTime(m.ready))
		}
		w.pods[m.name] = pod
		if len(m.used) >= window {
			f.measure(m)
		}
	}
}

func (f *fleet) measure(m *member) {
	total := 0.0
	for _, used := range m.used[len(m.used)-window:] {
		total += used
	}
	value, seconds := milliQuantity(int64(total/window)), int64(window)
	f.w.answers.resources = append(f.w.answers.resources, metricsapi.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: m.name},
		Timestamp:  metav1.NewTime(f.now), Window: metav1.Duration{Duration: window * time.Second},
		Containers: []metricsapi.ContainerMetrics{{Name: "app", Usage: corev1.ResourceList{corev1.ResourceCPU: value}}},
	})
	f.w.answers.pods["qps"] = append(f.w.answers.pods["qps"], customapi.MetricValue{
		DescribedObject: corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: m.name},
		Timestamp:       metav1.NewTime(f.now), WindowSeconds: &seconds, Value: value,
	})
}

// turn moves on by a sync period, and the side with it.
func (f *fleet) turn() error {
	before := uids(f.w)
	for range int(period / time.Second) {
		f.second(int(f.s.seen[name].count))
	}
	f.show(int(f.s.seen[name].count))
	f.s.follow(before)
	return f.s.client.Tracker().Update(appsv1.SchemeGroupVersion.WithResource("deployments"), f.deployment(), namespace)
}

// rollOut plays so many rollouts on both sides, each a minute after the one before
// it, and gives the counts that each side wrote.
func rollOut(t *testing.T, rollouts int, p plan) (up, our []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), logr.Discard()))
		b := &bubble{t: t, ctx: ctx}
		defer b.running.Wait()
		defer cancel()
		fleets := []*fleet{newFleet(p), newFleet(p)}
		b.start(fleets[0].s.theirs, fleets[1].s.ours)
		writes := [2][]string{}
		begun := 0
		for turn := 0; begun < rollouts || fleets[0].rolling || fleets[1].rolling; turn++ {
			synctest.Wait()
			time.Sleep(period / 2)
			synctest.Wait()
			resting := turn > 40
			for i, f := range fleets {
				v := f.s.look(name)
				for _, w := range v.writes {
					writes[i] = append(writes[i], fmt.Sprintf("rollout %d: %s", begun, w))
				}
				resting = resting && !f.rolling && f.now.Sub(f.ended) > time.Minute
			}
			if resting && begun < rollouts {
				begun++
				for _, f := range fleets {
					f.template, f.rolling = f.template+1, true
				}
			}
			for _, f := range fleets {
				if err := f.turn(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(period / 2)
		}
		up, our = writes[0], writes[1]
	})
	return up, our
}

// TestTwentyRolloutsUnderFlatLoad shows that upstream's count moves where ours does
// not. The pods use 8% more than they are to, which is tolerated.
func TestTwentyRolloutsUnderFlatLoad(t *testing.T) {
	percent, value := int32(targeted*100/requested), resource.NewMilliQuantity(targeted, resource.DecimalSI)
	of := func(m autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: m}}
	}
	average := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: value}
	pods := autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "qps"}, Target: average}}
	external := autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "depth"}, Target: average}}
	utilization := of(autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent})
	for name, p := range map[string]plan{
		"utilization": {10, 3, 2, 1.08, utilization},
		"resource":    {10, 3, 2, 1.08, of(average)},
		"pods":        {10, 3, 0, 1.08, pods},
		"external":    {20, 1, 0, 1.08, external},
	} {
		t.Run(name, func(t *testing.T) {
			up, our := rollOut(t, 20, p)
			if len(our) > 0 {
				t.Errorf("ours wrote %q", our)
			}
			if len(up) == 0 {
				t.Error("upstream wrote nothing: this shows no difference")
			}
			t.Logf("upstream wrote %d times: %q", len(up), up)
		})
	}
}
