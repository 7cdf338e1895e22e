package conformance

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// shown is one listed difference on a stage of its own: what happens in each turn,
// and what the last views of both sides have to be.
type shown struct {
	turns  int
	pods   int
	spec   autoscalingv2.HorizontalPodAutoscalerSpec
	window time.Duration
	script func(w *world)
	// differs tells what of the difference is missing, "" for nothing.
	differs func(theirs, mine []view) string
}

func externally(least, most int32, target int64) autoscalingv2.HorizontalPodAutoscalerSpec {
	return autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &least, MaxReplicas: most, Metrics: []autoscalingv2.MetricSpec{{
		Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "m0"},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(target, resource.DecimalSI)},
		}}}}
}

// queued sets the external metric.
func (w *world) queued(n int64) {
	w.answers = noAnswers()
	w.answers.external["m0"] = []externalapi.ExternalMetricValue{{Timestamp: metav1.NewTime(w.now), Value: *resource.NewQuantity(n, resource.DecimalSI)}}
}

func (w *world) away() {
	w.answers = noAnswers()
	w.answers.errs["m0"] = errors.New("the source of m0 is away")
}

func last(views []view) *view { return &views[len(views)-1] }

func averageOf(v *view) int64 {
	return v.status.CurrentMetrics[0].External.Current.AverageValue.MilliValue()
}

func ofReason(views []view, reason string) []string {
	var out []string
	for i := range views {
		for _, e := range views[i].events {
			if e.reason == reason {
				out = append(out, e.message)
			}
		}
	}
	return out
}

func when(holds bool, missing string) string {
	if holds {
		return missing
	}
	return ""
}

// stages show each heading.
func stages() map[string]shown {
	perPod := autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 20, Metrics: []autoscalingv2.MetricSpec{{
		Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "m0"},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(10, resource.DecimalSI)},
		}}}}
	percent := int32(50)
	cpu := autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 20, Metrics: []autoscalingv2.MetricSpec{{
		Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
		}}}}
	two := externally(1, 20, 10)
	two.Metrics = append(two.Metrics, *two.Metrics[0].DeepCopy())
	two.Metrics[1].External.Metric.Name = "m1"
	return map[string]shown{
		headingSurge: {turns: 1, pods: 10, spec: externally(1, 20, 10),
			script: func(w *world) { w.queued(105); w.scale.delta = 1 },
			differs: func(theirs, mine []view) string {
				return when(last(theirs).count != 11 || last(mine).count != 10, "the pod beyond the count raises upstream's count from 10 to 11, and not ours")
			}},
		headingOverflow: {turns: 2, pods: 8, spec: perPod, window: time.Nanosecond,
			script: func(w *world) {
				w.answers, w.overflows = noAnswers(), true
				for _, pod := range w.podNames() {
					w.answers.pods["m0"] = append(w.answers.pods["m0"], customapi.MetricValue{
						DescribedObject: corev1.ObjectReference{Name: pod}, Timestamp: metav1.NewTime(w.now),
						Value: *resource.NewMilliQuantity(math.MaxInt64/5, resource.DecimalSI)})
				}
			},
			differs: func(theirs, mine []view) string {
				return when(last(theirs).count >= 8 || last(mine).count <= 8, "upstream scales down where usage is the largest there is, and ours up")
			}},
		headingAnew: {turns: 2, pods: 5, spec: externally(1, 5, 10),
			script: func(w *world) {
				if w.queued(100); w.turn == 2 {
					w.queued(50)
					w.bear(lifeAnew)
					w.hpa.Spec.MaxReplicas = 20
				}
			},
			differs: func(theirs, mine []view) string {
				return when(last(theirs).count != 10 || last(mine).count != 5, "upstream holds a new object at the 10 that an old one of its name wanted, and ours leaves it at 5")
			}},
		headingLaidOver: {turns: 1, pods: 3, spec: externally(1, 20, 10),
			script: func(w *world) { w.queued(50); w.status.conflicts = 1 },
			differs: func(theirs, mine []view) string {
				return when(last(theirs).status.LastScaleTime != nil || last(mine).status.LastScaleTime == nil, "upstream's status never tells of the change, and ours does")
			}},
		headingZero: {turns: 3, pods: 3, spec: externally(0, 20, 10), window: time.Nanosecond,
			script: func(w *world) { w.queued(0) },
			differs: func(theirs, mine []view) string {
				a := averageOf(last(theirs))
				return when(a != math.MinInt64 && a != math.MaxInt64 || averageOf(last(mine)) != 0, "upstream divides by zero pods, and ours shows 0")
			}},
		headingUtilization: {turns: 1, pods: 4, spec: cpu,
			script: func(w *world) {
				w.answers = noAnswers()
				for _, pod := range w.podNames()[:2] {
					w.answers.resources = append(w.answers.resources, metricsapi.PodMetrics{
						ObjectMeta: metav1.ObjectMeta{Name: pod}, Timestamp: metav1.NewTime(w.now),
						Containers: []metricsapi.ContainerMetrics{{Name: "app", Usage: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m")}}}})
				}
			},
			differs: func(theirs, mine []view) string {
				a, b := last(theirs).status.CurrentMetrics[0].Resource.Current, last(mine).status.CurrentMetrics[0].Resource.Current
				return when(*a.AverageUtilization != 80 || *b.AverageUtilization != 40, "upstream shows 80% of two pods, and ours the 40% of four that both decide by")
			}},
		headingEmpty: {turns: 1, pods: 3, spec: two,
			script: func(w *world) { w.queued(30); w.answers.errs["m1"] = errors.New("the source of m1 is away") },
			differs: func(theirs, mine []view) string {
				a, b := last(theirs).status.CurrentMetrics, last(mine).status.CurrentMetrics
				return when(len(a) != 2 || a[1].Type != "" || len(b) != 1, "upstream shows two metrics, one without a type, and ours one")
			}},
		headingDesired: {turns: 1, pods: 3, spec: externally(1, 20, 10), script: (*world).away,
			differs: func(theirs, mine []view) string {
				return when(last(theirs).status.DesiredReplicas != 0 || last(mine).status.DesiredReplicas != 3, "upstream shows 0, and ours the count of 3")
			}},
		headingOrder: {turns: 40, pods: 3, spec: externally(1, 20, 10),
			script: func(w *world) {
				if w.queued(30); w.turn == 1 {
					w.r = nil
					w.rival, w.rivalBorn, w.rivalSelector = w.newRival(), 1, selector
				}
			},
			differs: func(theirs, mine []view) string {
				texts := func(views []view) []string {
					all := ofReason(views, "AmbiguousSelector")
					slices.Sort(all)
					return slices.Compact(all)
				}
				return when(len(texts(theirs)) != 2 || len(texts(mine)) != 1, "upstream's text changes by itself, and ours does not")
			}},
		headingTransition: {turns: 3, pods: 3, spec: externally(1, 20, 10),
			script: func(w *world) { w.queued(60); w.scale.wrErr = errors.New("the scale cannot be written") },
			differs: func(theirs, mine []view) string {
				moved := func(views []view) bool {
					first := conditionOf(&views[1].status, autoscalingv2.AbleToScale).LastTransitionTime
					then := conditionOf(&last(views).status, autoscalingv2.AbleToScale).LastTransitionTime
					return !first.Equal(&then)
				}
				return when(!moved(theirs) || moved(mine), "upstream's transition moves each turn, and ours stays")
			}},
		headingSeldom: {turns: 41, pods: 3, spec: externally(1, 20, 10), script: (*world).away,
			differs: func(theirs, mine []view) string {
				const reason = "FailedGetExternalMetric"
				return when(len(ofReason(theirs, reason)) != 41 || len(ofReason(mine, reason)) != 3, "upstream tells of a warning in each of 41 turns, and ours three times in ten minutes")
			}},
		headingReason: {turns: 2, pods: 5, spec: externally(1, 5, 10),
			script: func(w *world) {
				if w.queued(100); w.turn == 2 {
					w.queued(50)
					hpa := w.hpa.DeepCopy()
					hpa.Spec.MaxReplicas, hpa.Generation = 20, 2
					w.hpa, w.life = hpa, lifeEdited
				}
			},
			differs: func(theirs, mine []view) string {
				const reason = "SuccessfulRescale"
				a, b := ofReason(theirs, reason), ofReason(mine, reason)
				return when(!slices.Equal(a, []string{"New size: 10; reason: "}) || len(b) != 1 || len(b[0]) <= len(a[0]), "upstream gives no reason, and ours one")
			}},
	}
}

// stage is the world that the difference is shown in.
func (s *shown) stage(now time.Time) *world {
	w := newWorld(1, now)
	w.temper, w.kind, w.pods, w.born, w.script = temper{}, kinds[0], map[string]*corev1.Pod{}, 0, s.script
	w.options = *controllerOptions(s.window)
	w.template = podTemplate{app: 250, sidecar: none, restartable: none, pod: none, memory: 256 << 20}
	for range s.pods {
		w.addPod(true)
	}
	for _, pod := range w.pods {
		started := metav1.NewTime(now.Add(-time.Hour))
		pod.Status.StartTime = &started
		setReady(pod, corev1.ConditionTrue, started)
	}
	w.scale = scaleWorld{manual: int32(s.pods)}
	spec := *s.spec.DeepCopy()
	spec.ScaleTargetRef = w.target()
	w.hpa.Spec, w.hpa.Status = withDefaults(spec), autoscalingv2.HorizontalPodAutoscalerStatus{}
	return w
}

// TestDifferencesAreShown has each listed difference on a stage where nothing else
// happens: both behaviours are as listed, the heading explains them, and no other
// is needed.
func TestDifferencesAreShown(t *testing.T) {
	all := stages()
	for _, heading := range headings {
		t.Run(heading, func(t *testing.T) {
			s, ok := all[heading]
			if !ok {
				t.Fatal("nothing shows it")
			}
			var theirs, mine []view
			scene := scenario{seed: 1, turns: s.turns, stage: s.stage, watch: func(object string, a, b view) {
				if object == name {
					theirs, mine = append(theirs, a), append(mine, b)
				}
			}}
			play(t, scene)
			if missing := s.differs(theirs, mine); missing != "" {
				t.Errorf("%s; upstream:\n%v\nours:\n%v", missing, last(theirs).lines(), last(mine).lines())
			}
			scene.watch = nil
			r := judge(t, scene)
			if len(r.differences) > 0 {
				t.Errorf("not explained:\n%v", r.differences)
			}
			if r.explained[heading] == 0 {
				t.Errorf("explained by %v", r.explained)
			}
		})
	}
}
