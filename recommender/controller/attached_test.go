package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// following is an HPA's spec that scales the test's workload by some utilization.
func following(metrics ...autoscalingv2.MetricSpec) autoscalingv2.HorizontalPodAutoscalerSpec {
	return autoscalingv2.HorizontalPodAutoscalerSpec{Metrics: metrics,
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "orders"}}
}

func utilization(name corev1.ResourceName, container string) autoscalingv2.MetricSpec {
	percent := int32(80)
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}
	if container != "" {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType,
			ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: name, Container: container, Target: target}}
	}
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: target}}
}

func hpa(name string, spec autoscalingv2.HorizontalPodAutoscalerSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
}

func TestHorizontalsOfATarget(t *testing.T) {
	value := resource.MustParse("1")
	average := autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: "cpu", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &value}}}
	external := autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{}}
	scaler := &v1alpha1.HorizontalScaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "managed"}}
	scaler.Spec.ScaleTargetRef, scaler.Spec.Metrics = following().ScaleTargetRef, []autoscalingv2.MetricSpec{utilization("memory", "")}
	elsewhere := hpa("elsewhere", following(utilization("cpu", "")))
	elsewhere.Spec.ScaleTargetRef.Name = "payments"
	w := newWorldWith(t, ownKinds(t, hpa("web", following(utilization("memory", "app"), external, utilization("cpu", ""))),
		hpa("by-value", following(average, external)), scaler, elsewhere))
	want := []estimator.Horizontal{
		{Kind: "HorizontalPodAutoscaler", Name: "web", Follows: []estimator.Followed{{Resource: "cpu"}, {Resource: "memory", Container: "app"}}},
		{Kind: "HorizontalScaler", Name: "managed", Follows: []estimator.Followed{{Resource: "memory"}}},
	}
	if diff := cmp.Diff(want, w.horizontals.of(namespace, estimator.Target{Kind: "Deployment", Name: "orders"})); diff != "" {
		t.Errorf("scalers (-want +got):\n%s", diff)
	}
}

// With nothing opted into the numbers stay, and a condition tells of an HPA.
func TestAnHPAIsToldOf(t *testing.T) {
	w := newWorldWith(t, ownKinds(t, hpa("web", following(utilization("cpu", "")))))
	w.pass(time.Now(), "100m", "256Mi")
	r := w.vpa().Status.Recommendation.ContainerRecommendations[0]
	if r.Target.Cpu().MilliValue() != 126 {
		t.Errorf("recommended %s, want 126m", r.Target.Cpu())
	}
	c := condition(w.vpa(), estimator.Conflict)
	if c == nil || c.Reason != estimator.ReasonHorizontalSameMetric || !strings.Contains(c.Message, "HorizontalPodAutoscaler web scales Deployment orders") {
		t.Errorf("%s is %+v", estimator.Conflict, c)
	}
}

func TestBoundHoldsTheRequestInForce(t *testing.T) {
	calm := policyOn("calm", 0, "orders")
	calm.Spec.WithHPA = v1alpha1.WithHPABound
	w := newWorldWith(t, ownKinds(t, hpa("web", following(utilization("cpu", ""))), calm))
	w.pass(time.Now(), "100m", "256Mi")
	r := w.vpa().Status.Recommendation.ContainerRecommendations[0]
	if r.Target.Cpu().MilliValue() != 300 || r.UncappedTarget.Cpu().MilliValue() != 126 || r.LowerBound.Cpu().MilliValue() > 300 || r.Target.Memory().Value() != 323522422 {
		t.Errorf("recommended %+v, want 300m of CPU, as the pod requests, and memory as usual", r)
	}
	if c := condition(w.vpa(), estimator.Conflict); c == nil || c.Reason != estimator.ReasonHorizontalBound {
		t.Errorf("%s is %+v", estimator.Conflict, c)
	}
	if c := condition(w.vpa(), estimator.Policed); c == nil || !strings.HasPrefix(c.Message, "VerticalScalingPolicy calm: ") {
		t.Errorf("%s is %+v", estimator.Policed, c)
	}
}

func TestOffLeavesTheObjectAlone(t *testing.T) {
	off := policyOn("off", 0, "orders")
	off.Spec.Mode = v1alpha1.ModeOff
	w := newWorldWith(t, ownKinds(t, off))
	w.pass(time.Now(), "100m", "256Mi")
	if got := w.vpa().Status.Recommendation; got != nil || len(w.checkpoints()) > 0 {
		t.Errorf("recommended %+v, %d checkpoints", got, len(w.checkpoints()))
	}
	if got := w.history("orders").Learned["app"].Samples; got != 1 {
		t.Errorf("%d samples are learned, want one", got)
	}
}

// newWorldWith has a VPA for the Deployment and objects of our own kinds.
func newWorldWith(t *testing.T, own client.WithWatch) *world {
	t.Helper()
	w := unstarted(t, vpa("orders"))
	w.own = own
	w.start()
	return w
}

// A new container begins from the history of the same image, of whichever object.
func TestANewContainerBeginsFromTheSameImage(t *testing.T) {
	warm := policyOn("warm", 0, "payments")
	warm.Spec.ColdStart = []v1alpha1.ColdStartSource{"Workload", "Image"}
	payments := vpa("payments")
	payments.Spec.TargetRef.Name = "payments"
	w := unstarted(t, vpa("orders"), payments)
	w.own = ownKinds(t, warm)
	other := deployment()
	other.Name, other.Spec.Selector.MatchLabels = "payments", map[string]string{"app": "payments"}
	w.targets = append(w.targets, other)
	p := pod()
	p.Name, p.Labels, p.Spec.Containers[0].Name = "payments-1", map[string]string{"app": "payments"}, "main"
	p.Spec.Containers[0].Image = "registry.example.com:5000/shop/server@sha256:0123"
	if err := w.kube.Tracker().Add(p); err != nil {
		t.Fatal(err)
	}
	w.start()
	at := time.Now()
	w.use(at, "100m", "256Mi")
	w.turnAll("orders")
	w.turnAll("payments")
	got, err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalers(namespace).Get(t.Context(), "payments", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := condition(got, estimator.ColdStart)
	if c == nil || c.Reason != estimator.ReasonFromImage || !strings.Contains(c.Message, "container app of VerticalPodAutoscaler orders") {
		t.Fatalf("%s is %+v", estimator.ColdStart, c)
	}
	if r := got.Status.Recommendation; r == nil || r.ContainerRecommendations[0].Target.Cpu().MilliValue() != 126 {
		t.Errorf("recommended %+v, want the 126m of the other", r)
	}
}

func TestImageName(t *testing.T) {
	for image, want := range map[string]string{
		"nginx":                            "nginx",
		"nginx:1.29":                       "nginx",
		"registry.example.com:5000/a/b":    "registry.example.com:5000/a/b",
		"registry.example.com:5000/a/b:v1": "registry.example.com:5000/a/b",
		"example.com/a@sha256:0123":        "example.com/a",
		"example.com/a:v1@sha256:0123":     "example.com/a",
		"":                                 "",
	} {
		if got := imageName(image); got != want {
			t.Errorf("%q is an image named %q, want %q", image, got, want)
		}
	}
}
