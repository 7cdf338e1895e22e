package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

func (s *stage) vpas() vpaclient.Interface {
	s.t.Helper()
	c, err := vpaclient.NewForConfig(s.lab.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *stage) vpa(mode vpav1.UpdateMode) *vpav1.VerticalPodAutoscaler {
	return &vpav1.VerticalPodAutoscaler{ObjectMeta: s.meta(workload), Spec: vpav1.VerticalPodAutoscalerSpec{
		TargetRef:    &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: workload},
		UpdatePolicy: &vpav1.PodUpdatePolicy{UpdateMode: ptr.To(mode)},
	}}
}

// TestVPARightSizes: pods that ask for far too little are recommended more,
// evicted one after the other, and come back with what was recommended.
func TestVPARightSizes(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	s.create(s.deployment(2))
	err := s.lab.SetUsage(t.Context(), lab.Usage{
		Namespace: s.namespace, Selector: labels.SelectorFromSet(labels.Set{"app": workload}),
		CPU: resource.MustParse("800m"), Memory: resource.MustParse("300Mi"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Create(t.Context(), s.vpa(vpav1.UpdateModeRecreate), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 4*time.Minute, func() error {
		v, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Get(t.Context(), workload, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if v.Status.Recommendation == nil || len(v.Status.Recommendation.ContainerRecommendations) != 1 {
			return fmt.Errorf("no recommendation yet, conditions %v", v.Status.Conditions)
		}
		r := v.Status.Recommendation.ContainerRecommendations[0]
		if low, high := r.Target.Cpu().Cmp(resource.MustParse("800m")), r.Target.Cpu().Cmp(resource.MustParse("1200m")); low < 0 || high > 0 {
			return fmt.Errorf("the target for 800m of usage is %s", r.Target.Cpu())
		}
		pods := s.pods(workload)
		for _, p := range pods {
			request := p.Spec.Containers[0].Resources.Requests.Cpu()
			if request.Cmp(resource.MustParse("800m")) < 0 || p.Annotations["vpaUpdates"] == "" || p.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("pod %s asks for %s and is %s", p.Name, request, p.Status.Phase)
			}
		}
		if len(pods) != 2 {
			return fmt.Errorf("%d pods, want 2", len(pods))
		}
		return nil
	})
	out, err := explain(t, s.lab.Kubeconfig(), "explain", "vpa", workload, "-n", s.namespace)
	if err != nil || !strings.Contains(out, "percentile") {
		t.Errorf("explain vpa: %v\n%s", err, out)
	}
}

// TestInvalidVPAIsRefused: the webhook names the field.
func TestInvalidVPAIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	bad := s.vpa(vpav1.UpdateModeRecreate)
	bad.Spec.UpdatePolicy.MinReplicas = ptr.To(int32(0))
	eventually(t, 30*time.Second, func() error {
		_, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Create(t.Context(), bad.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil || !strings.Contains(err.Error(), "minReplicas") && !strings.Contains(err.Error(), "MinReplicas") {
			return fmt.Errorf("error %v, want one that names minReplicas", err)
		}
		return nil
	})
}
