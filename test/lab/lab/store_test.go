package lab_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

// TestBenchmarkParts: objects written past the API server are served by it, usage
// kept in memory through the aggregation layer, and upstream's HPA controller runs
// by itself beside them.
func TestBenchmarkParts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := labtest.Start(t, lab.Options{
		NoKwok: true, NoScheduler: true, ResourceMetrics: true, Controllers: []string{"serviceaccount-controller"},
	})
	var pods []ctrlclient.Object
	var want []string
	for i := range 250 {
		name := fmt.Sprintf("pod-%03d", i)
		want = append(want, name)
		pods = append(pods, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: name, UID: types.UID(name), CreationTimestamp: metav1.Now(),
				Labels: map[string]string{"app": "web"},
			},
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		})
		l.ResourceMetrics().Add(resourcemetrics.Pod{
			Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}, Usage: resourcemetrics.Usage{MilliCPU: int64(i)},
		})
	}
	if err := l.Store(ctx, slices.Values(pods)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pods", func() error {
		var list corev1.PodList
		if err := l.Client().List(ctx, &list, ctrlclient.MatchingLabels{"app": "web"}); err != nil {
			return err
		}
		var got []string
		for _, p := range list.Items {
			if p.Status.Phase == corev1.PodRunning && p.UID == types.UID(p.Name) {
				got = append(got, p.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("running pods (-want +got):\n%s", diff)
		}
		return nil
	})
	var samples metricsv1beta1.PodMetricsList
	if err := l.Client().List(ctx, &samples, ctrlclient.InNamespace("default"), ctrlclient.MatchingLabels{"app": "web"}); err != nil {
		t.Fatal(err)
	}
	if n := len(samples.Items); n != len(want) || samples.Items[7].Containers[0].Usage.Cpu().String() != "7m" {
		t.Errorf("%d samples: %+v", n, samples.Items[:min(n, 8)])
	}

	upstream, err := l.RunUpstreamHPA("--horizontal-pod-autoscaler-sync-period=1s")
	if err != nil {
		t.Fatal(err)
	}
	if err := upstream.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	object := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MaxReplicas: 5,
		},
	}
	if err := l.Client().Create(ctx, object); err != nil {
		t.Fatal(err)
	}
	eventually(t, "upstream's word on the HPA", func() error {
		if err := l.Client().Get(ctx, ctrlclient.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		if len(object.Status.Conditions) == 0 {
			return fmt.Errorf("it has no conditions")
		}
		return nil
	})
	if err := upstream.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := l.Err(); err != nil {
		t.Error(err)
	}
}
