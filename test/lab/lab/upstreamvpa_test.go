package lab_test

import (
	"errors"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

// TestUpstreamVPA: upstream's three components work by themselves in a lab, under
// upstream's own rules of access, on objects that were stored with their status.
func TestUpstreamVPA(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := labtest.Start(t, lab.Options{
		NoKwok: true, NoScheduler: true, ResourceMetrics: true, Controllers: []string{"serviceaccount-controller"},
	})
	var running []*lab.Upstream
	for component, args := range map[string][]string{
		lab.VPARecommender: {"--recommender-interval=1s"}, lab.VPAUpdater: {"--updater-interval=1s"}, lab.VPAAdmission: nil,
	} {
		u, err := l.RunUpstreamVPA(ctx, component, args...)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, u)
	}
	labels := map[string]string{"app": "web"}
	meta := metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web", CreationTimestamp: metav1.Now(), Labels: labels}
	object := &vpav1.VerticalPodAutoscaler{ObjectMeta: meta, Spec: vpav1.VerticalPodAutoscalerSpec{
		TargetRef: &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
	}}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "one", Image: "none"}, {Name: "two", Image: "none"}}}
	stored := []ctrlclient.Object{
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		}},
		&corev1.Pod{ObjectMeta: meta, Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodRunning}},
		object.DeepCopy(),
	}
	l.ResourceMetrics().Add(resourcemetrics.Pod{
		Namespace: "default", Name: "web", Labels: labels, Containers: []string{"one", "two"},
		Usage: resourcemetrics.Usage{MilliCPU: 500, MemoryBytes: 1 << 30},
	})
	if err := l.Store(ctx, slices.Values(stored)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "upstream's recommendation", func() error {
		if err := l.Client().Get(ctx, ctrlclient.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		if r := object.Status.Recommendation; r == nil || len(r.ContainerRecommendations) != 2 {
			return errors.New("it recommends nothing")
		}
		return nil
	})
	if got := object.Status.Recommendation.ContainerRecommendations[0].Target.Cpu().MilliValue(); got < 500 || got > 650 {
		t.Errorf("it recommends %dm for a usage of 500m", got)
	}
	for _, u := range running {
		if err := u.WaitReady(ctx); err != nil {
			t.Error(err)
		}
		if err := u.Stop(); err != nil {
			t.Error(err)
		}
	}
}
