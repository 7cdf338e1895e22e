package conformance

import (
	"fmt"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// arithmetic is one turn's numbers, as a fuzzer draws them.
type arithmetic struct {
	// kind is the metric's type and its target's; pods is how many there are, of
	// which the bits of missing have no sample and those of young are starting.
	kind, pods, missing, young uint8
	// usage and more are what even and odd pods use, target what they are to, all
	// in thousandths.
	usage, more, target uint32
}

// FuzzReplicaCalculator holds the count of a turn, and what is shown of it, against
// upstream's replica calculator, with numbers that no scenario thinks of.
func FuzzReplicaCalculator(f *testing.F) {
	for kind := range uint8(5) {
		f.Add(kind, uint8(3), uint8(0), uint8(0), uint32(300), uint32(301), uint32(200))
		f.Add(kind, uint8(7), uint8(5), uint8(2), uint32(1), uint32(0), uint32(99))
		f.Add(kind, uint8(1), uint8(1), uint8(1), uint32(1<<31), uint32(7), uint32(1))
	}
	f.Fuzz(func(t *testing.T, kind, pods, missing, young uint8, usage, more, target uint32) {
		a := arithmetic{kind: kind % 5, pods: 1 + pods%12, missing: missing, young: young, usage: usage, more: more, target: 1 + target}
		s := shown{pods: int(a.pods), spec: a.spec(), window: time.Nanosecond, script: a.play}
		r := judge(t, scenario{seed: 1, turns: 2, stage: s.stage})
		if len(r.differences) > 0 {
			t.Errorf("%+v\n%v", a, r.differences)
		}
	})
}

func (a arithmetic) spec() autoscalingv2.HorizontalPodAutoscalerSpec {
	value := milliQuantity(int64(a.target))
	average := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &value}
	whole := autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: &value}
	percent := int32(1 + a.target%300)
	id := autoscalingv2.MetricIdentifier{Name: "m0"}
	cpu := func(target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: target}}
	}
	spec := []autoscalingv2.MetricSpec{
		cpu(autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}), cpu(average),
		{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: id, Target: average}},
		{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: id, Target: average}},
		{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: id, Target: whole}},
	}[a.kind]
	return autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 1000, Metrics: []autoscalingv2.MetricSpec{spec}}
}

// play sets the turn's pods and samples.
func (a arithmetic) play(w *world) {
	w.answers = noAnswers()
	at := metav1.NewTime(w.now)
	w.answers.external["m0"] = []externalapi.ExternalMetricValue{
		{Timestamp: at, Value: milliQuantity(int64(a.usage))}, {Timestamp: at, Value: milliQuantity(int64(a.more))},
	}
	for i := range int(a.pods) {
		pod := fmt.Sprintf("web-%d", i+1)
		if a.young>>(i%8)&1 == 1 {
			changed := w.pods[pod].DeepCopy()
			setReady(changed, corev1.ConditionFalse, *changed.Status.StartTime)
			w.pods[pod] = changed
		}
		if a.missing>>(i%8)&1 == 1 {
			continue
		}
		used := milliQuantity(int64([]uint32{a.usage, a.more}[i%2]))
		w.answers.pods["m0"] = append(w.answers.pods["m0"], customapi.MetricValue{
			DescribedObject: corev1.ObjectReference{Name: pod}, Timestamp: at, Value: used})
		w.answers.resources = append(w.answers.resources, metricsapi.PodMetrics{
			ObjectMeta: metav1.ObjectMeta{Name: pod}, Timestamp: at,
			Containers: []metricsapi.ContainerMetrics{{Name: "app", Usage: corev1.ResourceList{corev1.ResourceCPU: used}}}})
	}
}
